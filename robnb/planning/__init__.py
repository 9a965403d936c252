"""What a study has to do and has done: its work before it is done, the store's contents, and what is left to pay."""
