//! Successful answers. All of them are 200 with a JSON object: some SDKs take nothing else for a success.

use axum::{
    body::Body,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde::Serialize;

/// An answer that says no more than that it worked.
pub(super) struct Done;

/// An answer that tells something.
pub(super) struct Json<T>(pub T);

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        json(Body::from("{}"))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        let text = serde_json::to_string(&self.0).expect("answers have string keys and no failing parts");
        json(Body::from(text))
    }
}

/// A 200 that carries this JSON text.
pub(super) fn json(text: Body) -> Response {
    let mut response = Response::new(text);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
