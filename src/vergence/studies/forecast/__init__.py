"""Closing the loop: inject biases at known rates, audit the captions, forecast, train, and see what comes true."""
