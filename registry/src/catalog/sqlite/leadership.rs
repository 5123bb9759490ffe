//! One process owns the database, so that it leads whatever it asks for, once at a time.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;

use super::SqliteCatalog;
use crate::catalog::{Lead, Leadership, Result, leadership::Leading};

/// What was given out, by name. An entry that was given up is as good as none.
#[derive(Debug, Default)]
pub(super) struct Leads(Mutex<HashMap<&'static str, Leading>>);

#[async_trait]
impl Leadership for SqliteCatalog {
    async fn lead(&self, task: &'static str) -> Result<Option<Lead>> {
        let mut leads = self.leads.0.lock().unwrap_or_else(PoisonError::into_inner);
        if leads.get(task).is_some_and(|held| !held.given_up.is_cancelled()) {
            return Ok(None);
        }
        let (lead, held) = Lead::new();
        leads.insert(task, held);
        Ok(Some(lead))
    }
}
