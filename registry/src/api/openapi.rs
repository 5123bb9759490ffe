//! The description of `/api/v1` in `OpenAPI`. Every endpoint is a row here: a test compares the rows with the routes.

use axum::{Json, Router, routing::get};
use serde_json::{Map, Value, json};

use crate::app::Services;

pub(super) fn routes() -> Router<Services> {
    Router::new().route("/api/v1/openapi.json", get(async || Json(document())))
}

/// Who an endpoint answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum For {
    /// Whoever asks.
    Anyone,
    /// Whoever said who they are.
    Callers,
    /// Administrators.
    Administrators,
}

/// An endpoint.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) by: For,
    /// Parameters of the query.
    pub(super) query: &'static [&'static str],
    /// What a body has to be, by its name among the schemas.
    pub(super) body: Option<&'static str>,
    /// The status of success.
    pub(super) status: u16,
}

const fn read(
    path: &'static str,
    by: For,
    query: &'static [&'static str],
    summary: &'static str,
) -> Operation {
    Operation { method: "get", path, summary, by, query, body: None, status: 200 }
}

/// Every endpoint there is.
pub(super) const OPERATIONS: &[Operation] = &[
    read("/api/v1", For::Anyone, &[], "Name and version of the registry"),
    read("/api/v1/openapi.json", For::Anyone, &[], "This document"),
    read(
        "/api/v1/audit",
        For::Administrators,
        &["repo", "who", "verb", "since", "until", "after", "limit"],
        "Who did what, the latest first",
    ),
    read("/api/v1/policy", For::Administrators, &[], "All rules, and those that change nothing"),
    read(
        "/api/v1/policy/explain",
        For::Callers,
        &["subject", "groups", "verb", "repository"],
        "Whether somebody may do something, and which rule decides",
    ),
    Operation {
        method: "post",
        path: "/api/v1/policy/rules",
        summary: "Adds a rule",
        by: For::Administrators,
        query: &[],
        body: Some("Rule"),
        status: 201,
    },
    Operation {
        method: "delete",
        path: "/api/v1/policy/rules/{name}",
        summary: "Removes a rule that was added",
        by: For::Administrators,
        query: &[],
        body: None,
        status: 204,
    },
    read(
        "/api/v1/repositories",
        For::Callers,
        &["after", "limit"],
        "Repositories that the caller may pull, in byte order",
    ),
    // The name has slashes in it.
    read(
        "/api/v1/repositories/{*name}",
        For::Callers,
        &["after", "limit"],
        "With /tags behind the name: its tags",
    ),
];

/// The document.
pub(super) fn document() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = operation.path.replace("{*name}", "{name}/tags");
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        entry[operation.method] = described(operation);
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "berth-registry", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": { "schemas": schemas(), "securitySchemes": {
            "basic": { "type": "http", "scheme": "basic" },
        } },
    })
}

fn described(operation: &Operation) -> Value {
    let in_path = operation
        .path
        .contains('{')
        .then(|| json!({ "name": "name", "in": "path", "required": true, "schema": { "type": "string" } }));
    let in_query = operation
        .query
        .iter()
        .map(|name| json!({ "name": name, "in": "query", "schema": { "type": "string" } }));
    let parameters: Vec<Value> = in_path.into_iter().chain(in_query).collect();
    let error = json!({ "description": "What is wrong", "content": {
        "application/json": { "schema": { "$ref": "#/components/schemas/Error" } },
    } });
    let success = if operation.status == 204 {
        json!({ "description": "Done" })
    } else {
        json!({ "description": "Done", "content": { "application/json": { "schema": { "type": "object" } } } })
    };
    let mut described = json!({
        "summary": operation.summary,
        "parameters": parameters,
        "responses": { operation.status.to_string(): success, "default": error },
    });
    if operation.by != For::Anyone {
        described["security"] = json!([{ "basic": [] }]);
    }
    if operation.by == For::Administrators {
        described["description"] = json!("For administrators.");
    }
    if let Some(schema) = operation.body {
        described["requestBody"] = json!({ "required": true, "content": {
            "application/json": { "schema": { "$ref": format!("#/components/schemas/{schema}") } },
        } });
    }
    described
}

fn schemas() -> Value {
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    json!({
        "Error": {
            "type": "object",
            "properties": { "error": {
                "type": "object",
                "properties": { "code": { "type": "string" }, "message": { "type": "string" } },
            } },
        },
        "Rule": {
            "type": "object",
            "required": ["name", "subjects", "verbs", "repositories"],
            "additionalProperties": false,
            "properties": {
                "name": { "type": "string" },
                "effect": { "enum": ["allow", "deny"], "default": "allow" },
                "subjects": texts,
                "verbs": texts,
                "repositories": texts,
                "tags": texts,
            },
        },
    })
}
