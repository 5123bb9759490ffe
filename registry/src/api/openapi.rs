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

/// One for administrators that changes something.
const fn change(
    method: &'static str,
    path: &'static str,
    body: Option<&'static str>,
    status: u16,
    summary: &'static str,
) -> Operation {
    Operation { method, path, summary, by: For::Administrators, query: &[], body, status }
}

const PAGE: &[&str] = &["after", "limit"];
const AUDIT: &[&str] = &["repo", "who", "verb", "since", "until", "after", "limit"];
const QUESTION: &[&str] = &["subject", "groups", "verb", "repository"];

/// Every endpoint there is.
#[rustfmt::skip] // One row each.
pub(super) const OPERATIONS: &[Operation] = &[
    read("/api/v1", For::Anyone, &[], "Name and version of the registry"),
    read("/api/v1/openapi.json", For::Anyone, &[], "This document"),
    read("/api/v1/audit", For::Administrators, AUDIT, "Who did what, the latest first"),
    change("post", "/api/v1/check", Some("Check"), 200, "Compares catalog and storage; answers in lines of JSON"),
    read("/api/v1/deleted", For::Administrators, &["repository", "last"], "What can be brought back"),
    read("/api/v1/gc", For::Administrators, &[], "The last collection"),
    change("post", "/api/v1/gc", Some("Collection"), 200, "Collects what nothing needs; answers in lines of JSON"),
    change("post", "/api/v1/undelete", Some("Undelete"), 200, "Brings a tag or manifest back"),
    read("/api/v1/groups", For::Administrators, PAGE, "Groups"),
    change("post", "/api/v1/groups", Some("Group"), 201, "Adds a group"),
    read("/api/v1/groups/{name}", For::Administrators, PAGE, "Members of a group"),
    change("delete", "/api/v1/groups/{name}", None, 204, "Removes a group"),
    change("put", "/api/v1/groups/{name}/members/{member}", None, 204, "Makes somebody a member"),
    change("delete", "/api/v1/groups/{name}/members/{member}", None, 204, "Takes a member out"),
    change("post", "/api/v1/import", Some("Import"), 200, "Takes over another registry's tree; answers in lines of JSON"),
    read("/api/v1/me", For::Callers, &[], "Who the caller is"),
    read("/api/v1/policy", For::Administrators, &[], "All rules, and those that change nothing"),
    read("/api/v1/policy/explain", For::Callers, QUESTION, "Whether somebody may do something, and which rule decides"),
    change("post", "/api/v1/policy/rules", Some("Rule"), 201, "Adds a rule"),
    change("delete", "/api/v1/policy/rules/{name}", None, 204, "Removes a rule that was added"),
    read("/api/v1/retention/preview", For::Administrators, &[], "What retention would take away"),
    read("/api/v1/quotas", For::Administrators, PAGE, "Quotas"),
    read("/api/v1/quotas/{namespace}", For::Administrators, &[], "A namespace's quota"),
    change("put", "/api/v1/quotas/{namespace}", Some("Quota"), 200, "Sets a namespace's quota"),
    change("delete", "/api/v1/quotas/{namespace}", None, 204, "Removes a namespace's quota"),
    change("post", "/api/v1/quotas/{namespace}/recount", None, 200, "Counts anew what a namespace holds"),
    read("/api/v1/repositories", For::Callers, PAGE, "Repositories that the caller may pull"),
    // The name has slashes in it, so that the route takes all that follows.
    read("/api/v1/repositories/{*name}", For::Callers, PAGE, "Tags of a repository"),
    read("/api/v1/robots", For::Administrators, PAGE, "Robots"),
    change("post", "/api/v1/robots", Some("Robot"), 201, "Adds a robot; the answer has its secret"),
    read("/api/v1/robots/{name}", For::Administrators, &[], "A robot"),
    change("patch", "/api/v1/robots/{name}", Some("RobotChange"), 200, "Shuts a robot out, or lets it in again"),
    change("delete", "/api/v1/robots/{name}", None, 204, "Removes a robot"),
    change("post", "/api/v1/robots/{name}/secret", Some("RobotSecret"), 200, "Gives a robot a new secret"),
    read("/api/v1/tokens", For::Callers, &["subject", "last", "n"], "Tokens that were made by hand; one's own, unless one administers"),
    Operation { by: For::Callers, ..change("post", "/api/v1/tokens", Some("Token"), 201, "Makes a token; the answer has its secret") },
    Operation { by: For::Callers, ..change("delete", "/api/v1/tokens/{id}", None, 204, "Revokes a token") },
    read("/api/v1/tokens/keys", For::Administrators, &[], "Keys that sign tokens"),
    change("post", "/api/v1/tokens/keys", None, 201, "Makes a new key that signs tokens from now on"),
    read("/api/v1/usage/{namespace}", For::Administrators, &[], "What a namespace holds"),
    read("/api/v1/users", For::Administrators, PAGE, "Users"),
    change("post", "/api/v1/users", Some("User"), 201, "Adds a user"),
    read("/api/v1/users/{name}", For::Callers, &[], "A user; oneself, unless one administers"),
    change("patch", "/api/v1/users/{name}", Some("UserChange"), 200, "Changes a user"),
    change("delete", "/api/v1/users/{name}", None, 204, "Removes a user"),
    Operation {
        method: "put",
        path: "/api/v1/users/{name}/password",
        summary: "Sets a user's password; one's own with the current one",
        by: For::Callers,
        query: &[],
        body: Some("Password"),
        status: 200,
    },
];

/// What bodies are: a field with `!` has to be there.
#[rustfmt::skip]
const SCHEMAS: &[(&str, &[(&str, &str)])] = &[
    ("Check", &[("readData", "string"), ("repair", "boolean"), ("graceSeconds", "integer")]),
    ("Collection", &[("dry_run", "boolean")]),
    ("Undelete", &[("name!", "string")]),
    ("Group", &[("name!", "string"), ("description", "string")]),
    ("Import", &[("folder", "string"), ("bucket", "string"), ("verify", "boolean")]),
    ("Password", &[("password", "string"), ("current", "string")]),
    ("Quota", &[("limit", "integer")]),
    ("Robot", &[("name!", "string"), ("description", "string"), ("expires_in", "integer")]),
    ("RobotChange", &[("disabled!", "boolean")]),
    ("RobotSecret", &[("expires_in", "integer")]),
    ("Rule", &[
        ("name!", "string"), ("effect", "string"), ("subjects!", "array"), ("verbs!", "array"),
        ("repositories!", "array"), ("tags", "array"),
    ]),
    ("Token", &[("subject", "string"), ("name", "string"), ("expires_in", "integer")]),
    ("User", &[("name!", "string"), ("password", "string"), ("admin", "boolean")]),
    ("UserChange", &[("admin", "boolean"), ("disabled", "boolean")]),
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
    let in_path =
        operation.path.split('{').skip(1).filter_map(|rest| rest.split_once('}')).map(|(name, _)| {
            let name = name.trim_start_matches('*');
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
        });
    let in_query = operation
        .query
        .iter()
        .map(|name| json!({ "name": name, "in": "query", "schema": { "type": "string" } }));
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
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
    let mut schemas = json!({ "Error": {
        "type": "object",
        "properties": { "error": {
            "type": "object",
            "properties": { "code": { "type": "string" }, "message": { "type": "string" } },
        } },
    } });
    for (name, fields) in SCHEMAS {
        let required: Vec<_> = fields.iter().filter_map(|(field, _)| field.strip_suffix('!')).collect();
        let mut properties = Map::new();
        for (field, kind) in *fields {
            let mut shape = json!({ "type": kind });
            if *kind == "array" {
                shape["items"] = json!({ "type": "string" });
            }
            properties.insert(field.trim_end_matches('!').to_owned(), shape);
        }
        schemas[*name] = json!({
            "type": "object",
            "properties": properties,
            "required": required,
            "additionalProperties": false,
        });
    }
    schemas
}
