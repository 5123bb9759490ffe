//! Tar to folder, for layers that may be hostile, and back again byte for byte.
