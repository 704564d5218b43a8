"""What every sync did: runs, steps, counts and the tracker that records them."""
