"""What is asked, trained and recorded."""
