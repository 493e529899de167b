"""The Geyser wire format: our own `.proto` files and the classes generated from them (`build.py`)."""
