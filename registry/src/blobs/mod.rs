//! The rules of blobs and upload sessions. No axum, no sqlx here.
