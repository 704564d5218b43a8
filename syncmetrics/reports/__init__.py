"""The weekly and the monthly report by e-mail: what they say, their pictures, who gets them."""
