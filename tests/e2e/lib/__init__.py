"""What the end-to-end tests are made of: the program under test, real and misbehaving mailbox servers, raw clients,
certificates."""
