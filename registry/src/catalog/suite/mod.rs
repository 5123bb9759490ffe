//! The contract of [`Catalog`], run on every implementation. Each check gets a catalog of its own.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use berth_oci::{Algorithm, Digest, ManifestReference, MediaType, RepoName, Tag};
use sqlx::{Connection, PgConnection, Row, SqliteConnection};
use uuid::Uuid;

use super::*;
use crate::clock::Timestamp;

mod accounts;
mod audit;
mod blobs;
mod collection;
mod leadership;
mod lists;
mod manifests;
pub(super) mod postgres_server;
mod quotas;
mod references;
mod rules;
mod tags;
mod tokens;
mod upkeep;
mod uploads;

pub(super) use uploads::new_session;

/// The moment at which checks take place.
pub(super) const NOW: Timestamp = Timestamp(1_750_000_000_000_000);
const HOUR: Duration = Duration::from_secs(3600);
pub(super) const LEASE: Lease = Lease { now: NOW, length: HOUR };

/// Deleted for good.
pub(super) const GONE: Burial = Burial { now: NOW, keep: false };
/// Rows of a catalog that knows no quotas yet, with a body as the database writes it: `team` holds 10 bytes of a
/// blob in two repositories, and 3 of a manifest.
macro_rules! before_quotas {
    ($body:literal) => {
        concat!(
            "INSERT INTO repositories (name) VALUES ('team/a'), ('team/b'), ('other'); \
             INSERT INTO blobs (digest, size, object_key, lease_until, created_at) \
                 VALUES ('sha256:b', 10, 'key', 0, 0); \
             INSERT INTO blob_links (repo_id, digest) SELECT id, 'sha256:b' FROM repositories; \
             INSERT INTO manifest_bodies (digest, body) VALUES ('sha256:m', ",
            $body,
            "); INSERT INTO manifests (repo_id, digest, media_type, size, annotations, depth, pushed_at) \
                 SELECT id, 'sha256:m', 'a/b', 3, '{}', 0, 0 FROM repositories WHERE name = 'team/a'"
        )
    };
}
pub(super) use before_quotas;
/// Leads change hands soon.
pub(super) const QUICK: postgres::Pace = postgres::Pace {
    beat: Duration::from_millis(50),
    patience: Duration::from_secs(1),
    handover: Duration::from_millis(100),
};

/// A fresh catalog, and a way to look behind it.
pub(super) struct Fixture {
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) behind: Behind,
}

/// Where the rows are.
pub(super) enum Behind {
    Sqlite(tempfile::TempDir),
    Postgres(String),
}

impl Fixture {
    pub(super) async fn sqlite() -> Option<Self> {
        let data = tempfile::tempdir().unwrap();
        let catalog = SqliteCatalog::open(data.path(), SqliteOptions::default()).await.unwrap();
        Some(Self { catalog: Arc::new(catalog), behind: Behind::Sqlite(data) })
    }

    /// `None` where PostgreSQL is not installed.
    pub(super) async fn postgres() -> Option<Self> {
        let url = postgres_server::database().await?;
        let options = PostgresOptions { pace: QUICK, ..PostgresOptions::new(url.as_str()) };
        let catalog = PostgresCatalog::open(&options).await.unwrap();
        Some(Self { catalog: Arc::new(catalog), behind: Behind::Postgres(url) })
    }

    /// One number that the database holds, past the catalog.
    pub(super) async fn number(&self, sql: &'static str) -> i64 {
        match &self.behind {
            Behind::Sqlite(data) => {
                let url = format!("sqlite://{}", data.path().join("catalog.db").display());
                let mut db = SqliteConnection::connect(&url).await.unwrap();
                sqlx::query(sql).fetch_one(&mut db).await.unwrap().get(0)
            }
            Behind::Postgres(url) => {
                let mut db = PgConnection::connect(url).await.unwrap();
                sqlx::query(sql).fetch_one(&mut db).await.unwrap().get(0)
            }
        }
    }

    /// Makes a blob visible.
    pub(super) async fn blob(&self, repo: &str, n: u64) -> Committed {
        self.catalog.commit_blob(&new_blob(repo, n), NOW, LEASE).await.unwrap().unwrap()
    }

    async fn sees_blob(&self, repo: &str, n: u64) -> bool {
        self.catalog.blob(&name(repo), &digest(n), LEASE).await.unwrap().is_some()
    }

    /// Stores a manifest that must be taken.
    async fn push(&self, manifest: NewManifest) -> Digest {
        let put = self.catalog.put_manifest(&manifest, NOW, LEASE).await.unwrap();
        assert!(matches!(put, ManifestPut::Stored { .. }), "{put:?}");
        manifest.digest
    }

    /// Deletes a manifest whose tags may all go; whether it was there.
    async fn delete(&self, repo: &RepoName, digest: &Digest) -> bool {
        let gone = self.catalog.delete_manifest(repo, digest, Arc::new(|_| false), GONE).await.unwrap();
        assert!(!matches!(gone, ManifestDelete::TagFixed(_)));
        gone != ManifestDelete::Absent
    }

    /// The digest that a tag or digest stands for.
    async fn resolve(&self, repo: &str, reference: &str) -> Option<Digest> {
        let reference: ManifestReference = reference.parse().unwrap();
        self.catalog.manifest(&name(repo), &reference).await.unwrap().map(|row| row.digest)
    }
}

pub(super) fn name(text: &str) -> RepoName {
    text.parse().unwrap()
}

pub(super) fn tag(text: &str) -> Tag {
    text.parse().unwrap()
}

/// A digest by number; in the order of the numbers.
pub(super) fn digest(n: u64) -> Digest {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&n.to_be_bytes());
    Digest::from_hash(Algorithm::Sha256, &hash)
}

/// Whether it is one of [`digest`], which no content has.
pub(in crate::catalog) fn is_made_up(digest: &Digest) -> bool {
    digest.hex().ends_with(&"0".repeat(48))
}

/// A blob with an object of its own.
pub(super) fn new_blob(repo: &str, n: u64) -> NewBlob {
    let key = ObjectKey(format!("blobs/{}", Uuid::new_v4()));
    NewBlob { repo: name(repo), digest: digest(n), size: n, key, upload: None }
}

/// A manifest that refers to nothing.
pub(super) fn manifest(repo: &str, n: u64, tags: &[&str]) -> NewManifest {
    NewManifest {
        repo: name(repo),
        digest: digest(n),
        media_type: MediaType::new(MediaType::OCI_INDEX),
        body: format!("{{\"n\": {n} }}\n").into(),
        references: Vec::new(),
        subject: None,
        artifact_type: None,
        annotations: BTreeMap::new(),
        tags: tags.iter().map(|text| tag(text)).collect(),
        fixed: Vec::new(),
        max_depth: 20,
    }
}

pub(super) fn reference(n: u64, kind: RefKind) -> ManifestRef {
    ManifestRef { digest: digest(n), kind, optional: false }
}

/// Names each check once, and runs it on both databases. A failure that is no assertion's is a bug.
macro_rules! contract {
    ($($file:ident { $($check:ident)+ })+) => {
        mod sqlite_keeps_the_contract {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                super::check(super::Fixture::sqlite().await, super::$file::$check).await;
            })+)+
        }
        mod postgres_keeps_the_contract {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                super::check(super::Fixture::postgres().await, super::$file::$check).await;
            })+)+
        }
    };
}

async fn check(fixture: Option<Fixture>, body: impl AsyncFnOnce(&Fixture)) {
    let Some(fixture) = fixture else { return };
    body(&fixture).await;
    fixture.catalog.close().await;
}

contract! {
    rules {
        rules_come_back_by_name_and_each_change_has_a_version
        a_rule_of_a_name_that_is_taken_changes_nothing
    }
    audit {
        entries_come_back_whole_and_the_latest_first
        entries_are_found_by_repository_subject_kind_and_time
        pages_of_entries_go_on_where_they_ended
        old_entries_are_dropped_the_oldest_first
    }
    accounts {
        a_user_comes_back_as_it_was_added_and_changed
        administrators_are_counted_unless_shut_out
        users_and_robots_come_in_byte_order_page_by_page
        a_robot_comes_back_as_it_was_added_and_changed
        members_go_with_their_group_and_with_their_account
        of_many_who_add_one_name_at_once_one_does
    }
    blobs {
        r11_a_blob_is_seen_only_where_it_is_linked
        a_second_upload_of_one_content_is_surplus_and_the_first_row_stays
        a_commit_repeated_after_a_lost_answer_is_not_surplus
        f14_fifty_commits_of_one_blob_at_once_leave_one_row
        a_commit_ends_its_session_whoever_holds_the_claim
        a_mount_needs_the_link_of_the_repository_it_names
        a_mount_from_anywhere_takes_any_link
        r12_an_unlinked_blob_is_gone_at_once_and_stays_elsewhere
        f16_a_look_renews_a_lease_that_is_half_over
        what_uses_a_blob_renews_its_lease_and_never_shortens_it
    }
    manifests {
        a_manifest_comes_back_byte_for_byte
        the_same_manifest_again_only_moves_its_tags
        a_body_is_stored_once_and_goes_with_its_last_manifest
        a_moved_tag_is_seen_at_once
        deleting_a_manifest_takes_its_tags_and_references
        a_deleted_manifest_comes_back_without_its_old_tags
        deleting_a_tag_leaves_the_manifest
        several_tags_are_set_at_once
        f18_ten_writers_on_one_tag_are_seen_in_one_order
        pushes_of_one_manifest_at_once_all_succeed
        pushes_and_deletes_of_one_manifest_never_tear_it
    }
    references {
        r16_what_is_missing_is_named_and_nothing_is_stored
        the_first_hundred_missing_are_named_in_order
        optional_references_may_be_missing
        a_child_may_be_a_manifest_or_a_linked_blob
        references_count_only_in_their_own_repository
        r17_ten_thousand_references_are_stored
        r17_the_depth_of_indexes_is_that_of_the_deepest_child
    }
    leadership {
        a_task_is_led_by_one_at_a_time_and_each_task_by_its_own
        of_many_who_ask_at_once_one_leads
    }
    lists {
        repositories_come_in_byte_order_with_something_in_them
        referrers_come_by_digest_and_type
        referrers_need_no_subject_and_go_when_deleted
        a_type_of_any_length_is_found_by_all_of_it
        annotations_come_back_whatever_they_say
        r19_a_page_of_referrers_ends_before_its_annotations_are_too_many_bytes
    }
    tags {
        tags_come_in_byte_order_page_by_page
        a_repository_without_tags_is_not_an_unknown_one
        a_last_that_is_no_tag_still_has_its_place
        r22_a_fixed_tag_is_set_once_and_again_only_to_what_it_has
        r22_a_fixed_tag_that_was_set_in_between_keeps_its_manifest
        r22_of_ten_first_pushes_of_a_fixed_tag_one_is_stored
    }
    quotas {
        a_content_counts_once_in_its_namespace_until_its_last_link_goes
        what_does_not_fit_is_refused_to_the_byte_and_leaves_nothing
        a_limit_that_is_set_goes_before_the_configured_one
        of_many_pushes_at_once_as_many_are_taken_as_fit
        a_content_that_comes_and_goes_beside_a_full_quota_never_exceeds_it
        what_is_kept_is_what_a_fresh_count_finds_whatever_was_done
        a_recount_finds_and_mends_what_was_changed_past_the_registry
        a_namespace_has_no_more_repositories_than_it_may
        a_repository_knows_what_it_shares
        namespaces_come_in_byte_order_page_by_page
        r33_sessions_of_one_user_are_counted_up_to_a_bound
        manifests_and_tags_are_counted_up_to_a_bound
    }
    tokens {
        a_key_takes_over_from_the_youngest_and_retires_the_others
        a_key_is_not_added_when_another_was_added_since
        of_first_keys_added_at_once_all_that_stay_verify_and_one_is_first
        keys_are_forgotten_when_they_have_retired
        a_refresh_token_comes_back_by_its_secret_alone
        refresh_tokens_are_listed_by_subject_page_by_page
        a_revoked_refresh_token_is_gone
        clients_keep_only_the_refresh_tokens_that_were_used_last
        refresh_tokens_are_forgotten_when_they_have_expired
    }
    collection {
        an_untagged_manifest_goes_once_it_is_old_and_nothing_holds_it
        an_index_holds_its_children_and_goes_before_them
        a_subject_and_what_refers_to_it_live_and_go_together
        what_was_tagged_until_lately_stays
        r17_a_chain_of_ten_thousand_is_collected_step_by_step
        a_blob_that_no_manifest_needs_goes_when_its_lease_is_over
        layers_that_an_index_lists_are_needed
        a_link_goes_where_it_is_not_needed_and_stays_where_it_is
        f16_whoever_looks_at_a_blob_keeps_it_from_collection
        a_doomed_object_is_remembered_until_it_is_forgotten
        r12_content_that_comes_back_gets_another_object
        what_was_deleted_comes_back_as_it_was
        what_can_come_back_is_neither_pulled_nor_mounted
        what_was_deleted_too_long_ago_is_gone
        a_tag_that_was_set_anew_is_not_taken_by_one_that_comes_back
        what_refers_to_a_deleted_manifest_waits_with_it
        retention_lets_go_of_a_tag_with_all_that_only_it_held
        a_tag_that_was_pushed_since_is_not_retired
        an_estimate_is_what_a_run_then_does
        objects_that_no_row_and_no_session_names_are_orphans
        a_repository_without_anything_is_forgotten
        f15_pushes_beside_a_collection_are_never_torn
    }
    upkeep {
        changes_are_noted_until_storage_was_told
        f13_deletes_are_noted_by_whichever_way_they_come
        a_record_says_where_blobs_are_and_follows_them
        f20_a_blob_out_of_service_is_as_if_it_was_not_there
        everything_is_walked_once
        references_that_lead_nowhere_are_found
        f13_what_is_restored_has_its_times_and_takes_no_newer_tag
        what_is_restored_without_a_tag_stays_as_long_as_what_lost_its_tag
        a_damaged_body_is_mended
        a_damaged_body_is_never_served
        progress_is_kept
    }
    uploads {
        a_session_comes_back_as_it_was_saved
        r9_a_session_is_unknown_in_another_repository
        r8_of_many_claims_at_once_one_is_held
        a_claim_that_ran_out_is_taken_over
        a_renewed_claim_is_not_taken_over
        a_deleted_session_cannot_be_saved
        expired_sessions_are_listed_unless_somebody_writes
        r33_sessions_are_counted_up_to_a_bound_whoever_writes
    }
}
