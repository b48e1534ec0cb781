"""What data and models hide: shortcuts, wrong labels, copies, and drift since the reference."""
