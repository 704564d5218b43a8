"""A Canvas to try, test and benchmark against: seeded, throttled, fault-injecting."""
