"""The series: its topics and their variants, the patches they are made of, and the lock that knows every release."""
