"""The main screen, and the screens over it: details, log, verdict, help, export."""
