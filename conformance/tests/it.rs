//! One binary for every integration test of this crate.

#[path = "it/auth_accounts.rs"]
mod auth_accounts;
#[path = "it/auth_bench.rs"]
mod auth_bench;
#[path = "it/auth_clients.rs"]
mod auth_clients;
#[path = "it/auth_guarded.rs"]
mod auth_guarded;
#[path = "it/auth_issuers.rs"]
mod auth_issuers;
#[path = "it/auth_policy.rs"]
mod auth_policy;
#[path = "it/auth_tokens.rs"]
mod auth_tokens;
#[path = "it/auth_tokens_clients.rs"]
mod auth_tokens_clients;
#[path = "it/clients_berth.rs"]
mod clients_berth;
#[path = "it/clients_containerd.rs"]
mod clients_containerd;
#[path = "it/clients_docker.rs"]
mod clients_docker;
#[path = "it/clients_harness.rs"]
mod clients_harness;
#[path = "it/clients_large.rs"]
mod clients_large;
#[path = "it/clients_oras.rs"]
mod clients_oras;
#[path = "it/clients_podman.rs"]
mod clients_podman;
#[path = "it/clients_redirect.rs"]
mod clients_redirect;
#[path = "it/clients_skopeo.rs"]
mod clients_skopeo;
#[path = "it/fake.rs"]
mod fake;
#[path = "it/faults_collection.rs"]
mod faults_collection;
#[path = "it/faults_disk.rs"]
mod faults_disk;
#[path = "it/faults_kill.rs"]
mod faults_kill;
#[path = "it/faults_limits.rs"]
mod faults_limits;
#[path = "it/faults_storage.rs"]
mod faults_storage;
#[path = "it/limits_quotas.rs"]
mod limits_quotas;
#[path = "it/limits_rates.rs"]
mod limits_rates;
#[path = "it/meta.rs"]
mod meta;
#[path = "it/recover.rs"]
mod recover;
#[path = "it/recover_check.rs"]
mod recover_check;
#[path = "it/recover_import.rs"]
mod recover_import;
#[path = "it/recover_migrate.rs"]
mod recover_migrate;
#[path = "it/replicas.rs"]
mod replicas;
#[path = "it/suites_berth.rs"]
mod suites_berth;

/// What a test on PostgreSQL and S3 needs.
const OUTSIDE_TOOLS: &[&str] = &["initdb", "postgres", "psql", "s3s-fs", "setpriv"];
