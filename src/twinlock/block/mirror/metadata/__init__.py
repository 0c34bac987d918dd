"""The versions of md metadata: where a superblock lies, how it is read and written, what of it is served."""
