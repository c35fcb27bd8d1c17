//! The description of the API (OpenAPI 3.1), derived from the handlers and served at
//! `/openapi.json`.

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder, SecurityRequirement,
};

use super::error::{Problem, ProblemBody};

/// This description.
#[utoipa::path(get, path = "/openapi.json", tag = "health", security(()),
    responses((status = 200, description = "OpenAPI 3.1, as JSON", body = String)))]
pub(super) async fn openapi() -> Result<Response, Problem> {
    static TEXT: LazyLock<Option<String>> = LazyLock::new(|| openapi_json().ok());
    let text = TEXT.as_deref();
    let text = text.ok_or_else(|| Problem::new(&super::error::INTERNAL))?;
    Ok(([(header::CONTENT_TYPE, "application/json")], text).into_response())
}

/// The description, as JSON with a line for each thing, so that a change can be read as a diff.
pub(crate) fn openapi_json() -> Result<String, serde_json::Error> {
    let api = super::documented(None).into_openapi();
    serde_json::to_string_pretty(&api).map(|text| text + "\n")
}

/// What the description says apart from the handlers.
pub(super) fn frame() -> OpenApi {
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The key in the file api-key of the data directory, or in the api-key-file of the settings"))
        .build();
    let session = ApiKeyValue::with_description(
        "Cloakroom-Session",
        "The session id: a secret, never in a URL",
    );
    let components = ComponentsBuilder::new()
        .security_scheme("api_key", SecurityScheme::Http(key))
        .security_scheme("session", SecurityScheme::ApiKey(ApiKey::Header(session)))
        .schema_from::<ProblemBody>()
        .build();
    let info = InfoBuilder::new()
        .title("Cloakroom")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Keeps web sessions. A session id is a secret: it travels in the request header \
             Cloakroom-Session and in the answers to create, rotate and login, nowhere else.",
        ))
        .license(Some(License::new(env!("CARGO_PKG_LICENSE"))))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .security(Some([SecurityRequirement::new::<_, [&str; 0], &str>(
            "api_key",
            [],
        )]))
        .build()
}
