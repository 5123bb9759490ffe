//! Multipart uploads that nobody ended: the library does not list them, so the request is made here.
//!
//! S3 and the XML interface of Google's storage have the same one (ListMultipartUploads). Azure has none; it throws blocks that
//! belong to no blob away by itself after a week.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use http::{Method, Request, StatusCode, header};
use object_store::{
    ClientOptions, MultipartId,
    client::{HttpClient, HttpConnector, HttpRequest, HttpRequestBody, ReqwestConnector},
    gcp::GcpCredentialProvider,
    path::Path,
    signer::{SignedUrlOptions, Signer},
};
use serde::Deserialize;
use tracing::warn;
use url::form_urlencoded;

use super::{
    Result,
    object::object_error,
    patience::{Patience, unavailable},
};
use crate::{catalog::BoxError, clock::Timestamp};

/// A multipart upload that has not ended.
#[derive(Clone, Debug)]
pub(super) struct Multipart {
    pub(super) path: Path,
    pub(super) id: MultipartId,
    pub(super) begun: Timestamp,
}

/// Who can say which multipart uploads have not ended.
#[async_trait]
pub(super) trait Begun: Send + Sync + fmt::Debug {
    /// Those below a folder. `None` when the server does not list them.
    async fn list(&self, below: &Path) -> Result<Option<Vec<Multipart>>>;
}

/// So long is a signature good; the request comes at once.
const LIFE: Duration = Duration::from_secs(60);
/// So many are taken at a time; the next round takes the next.
const MOST: usize = 10_000;

/// How a request says who asks.
#[derive(Debug)]
pub(super) enum Asker {
    /// By a signature in its address. The signer must be the store under the address that this server uses.
    Signer(Arc<dyn Signer>),
    /// By a token; the bucket's address.
    Bearer(GcpCredentialProvider, String),
}

impl Asker {
    async fn request(&self, query: &[(&str, &str)]) -> object_store::Result<HttpRequest> {
        let request = match self {
            Self::Signer(signer) => {
                let options = SignedUrlOptions::new().with_query(query.iter().copied());
                let url = signer.signed_url_opts(Method::GET, &Path::default(), LIFE, &options).await?;
                Request::get(url.as_str())
            }
            Self::Bearer(credentials, bucket) => {
                let token = credentials.get_credential().await?;
                let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
                let request = Request::get(format!("{bucket}?{query}"));
                request.header(header::AUTHORIZATION, format!("Bearer {}", token.bearer))
            }
        };
        request.body(HttpRequestBody::empty()).map_err(|error| refused(error.into()))
    }
}

fn refused(source: BoxError) -> object_store::Error {
    object_store::Error::Generic { store: "storage", source }
}

/// Asks the store.
#[derive(Debug)]
pub(super) struct Lister {
    asker: Asker,
    http: HttpClient,
    patience: Patience,
    // Whether it was said that the server does not list.
    said: AtomicBool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Page {
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_upload_id_marker: Option<String>,
    #[serde(default, rename = "Upload")]
    uploads: Vec<Upload>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Upload {
    key: String,
    upload_id: String,
    initiated: String,
}

impl Lister {
    /// Asks as `asker`, over a client with these options.
    pub(super) fn new(asker: Asker, options: &ClientOptions, patience: Patience) -> Result<Self> {
        let http = ReqwestConnector::default().connect(options).map_err(object_error)?;
        Ok(Self { asker, http, patience, said: AtomicBool::new(false) })
    }

    /// The next page; `None` when the server does not know the question.
    async fn page(&self, below: &Path, markers: Option<(&str, &str)>) -> Result<Option<Page>> {
        let mut query = vec![("uploads", ""), ("prefix", below.as_ref())];
        if let Some((key, upload)) = markers {
            query.extend([("key-marker", key), ("upload-id-marker", upload)]);
        }
        let ask = async || {
            let answer = self.http.execute(self.asker.request(&query).await?).await;
            let answer = answer.map_err(|error| refused(error.into()))?;
            let status = answer.status();
            if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
                return Err(refused(format!("{status}").into()));
            }
            Ok((status, answer.into_body().bytes().await.map_err(|error| refused(error.into()))?))
        };
        let (status, body) = self.patience.ask(0, ask).await.map_err(object_error)?;
        match status {
            StatusCode::OK => read(&body).map(Some),
            StatusCode::BAD_REQUEST | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                Ok(None)
            }
            _ => Err(unavailable(format!("the server does not list multipart uploads: {status}"))),
        }
    }
}

fn read(body: &[u8]) -> Result<Page> {
    quick_xml::de::from_reader(body)
        .map_err(|error| unavailable(format!("a list of multipart uploads cannot be read: {error}")))
}

#[async_trait]
impl Begun for Lister {
    async fn list(&self, below: &Path) -> Result<Option<Vec<Multipart>>> {
        let (mut found, mut markers) = (Vec::new(), None);
        loop {
            let after =
                markers.as_ref().map(|(key, upload): &(String, String)| (key.as_str(), upload.as_str()));
            let Some(page) = self.page(below, after).await? else {
                if !self.said.swap(true, Ordering::Relaxed) {
                    warn!(
                        "The bucket's server does not list multipart uploads: give the bucket a rule that ends those \
                         which nobody completes"
                    );
                }
                return Ok(None);
            };
            for Upload { key, upload_id, initiated } in page.uploads {
                // What is not below the folder is none of ours, whatever the server makes of the prefix.
                let Some(path) = Path::parse(&key).ok().filter(|path| path.prefix_matches(below)) else {
                    continue;
                };
                let begun = initiated.parse::<jiff::Timestamp>();
                let begun = begun.map_err(|_| unavailable(format!("{initiated:?} is no time")))?;
                found.push(Multipart { path, id: upload_id, begun: Timestamp(begun.as_microsecond()) });
            }
            markers = page.next_key_marker.zip(page.next_upload_id_marker);
            if !page.is_truncated || markers.is_none() || found.len() >= MOST {
                return Ok(Some(found));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_multipart_uploads_is_read_as_s3_documents_it() {
        let body = br#"<?xml version="1.0" encoding="UTF-8"?>
            <ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
              <Bucket>bucket</Bucket><KeyMarker></KeyMarker><UploadIdMarker></UploadIdMarker>
              <NextKeyMarker>my-movie.m2ts</NextKeyMarker><NextUploadIdMarker>YW55</NextUploadIdMarker>
              <MaxUploads>2</MaxUploads><IsTruncated>true</IsTruncated>
              <Upload><Key>a&amp;b</Key><UploadId>XMgbGlrZSBlbHZpbmc</UploadId>
                <Initiator><ID>arn</ID><DisplayName>x</DisplayName></Initiator>
                <Owner><ID>7</ID></Owner><StorageClass>STANDARD</StorageClass>
                <Initiated>2010-11-10T20:48:33.000Z</Initiated></Upload>
              <Upload><Key>my-movie.m2ts</Key><UploadId>YW55</UploadId><StorageClass>STANDARD</StorageClass>
                <Initiated>2010-11-10T20:49:33.000Z</Initiated></Upload>
            </ListMultipartUploadsResult>"#;
        let page = read(body).unwrap();
        assert!(page.is_truncated);
        assert_eq!(page.next_key_marker.as_deref(), Some("my-movie.m2ts"));
        let found: Vec<_> = page.uploads.iter().map(|u| (u.key.as_str(), u.initiated.as_str())).collect();
        assert_eq!(
            found,
            [("a&b", "2010-11-10T20:48:33.000Z"), ("my-movie.m2ts", "2010-11-10T20:49:33.000Z")]
        );
        let empty = read(
            b"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>",
        );
        assert!(empty.unwrap().uploads.is_empty());
        assert!(read(b"<html>").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(body in "(<ListMultipartUploadsResult>|</ListMultipartUploadsResult>|<Upload>|</Upload>|<Key>|</Key>|<UploadId>|</UploadId>|<Initiated>|</Initiated>|<IsTruncated>|</IsTruncated>|true|&amp;|&#x0;|<!\\[CDATA\\[|\\]\\]>|<!--|-->|<\\?|[ -~]){0,30}") {
            if let Ok(page) = read(body.as_bytes()) {
                proptest::prop_assert!(page.uploads.len() <= body.matches("<Upload>").count());
            }
        }
    }
}
