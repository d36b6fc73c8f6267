"""Models and their immutable releases, and the content-addressed files behind them."""
