//! The registry: stores OCI images and artifacts and serves them by the distribution
//! specification. See ARCHITECTURE.md for who may import whom in here.

pub mod admin;
pub mod api;
pub mod app;
pub mod audit;
pub mod auth;
pub mod blobs;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod config;
pub mod doctor;
pub mod gc;
pub mod glob;
pub mod http;
pub mod limits;
pub mod manifests;
pub mod policy;
pub mod records;
pub mod storage;
pub mod tags;
pub mod telemetry;
pub mod upkeep;
