"""What other tools load: that tool's interface on one side, our API on the other."""
