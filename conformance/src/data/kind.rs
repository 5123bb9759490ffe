//! The kinds of data set.

use berth_oci::Algorithm;

use super::{artifacts, builder::DataSet, images};

macro_rules! kinds {
    ($($kind:ident $id:literal $says:literal $make:path;)*) => {
        /// A kind of data set.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Kind { $(#[doc = $says] $kind,)* }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// Its part of a case's id.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$kind => $id,)* }
            }

            /// What it is, for a sentence.
            #[must_use]
            pub const fn says(self) -> &'static str {
                match self { $(Self::$kind => $says,)* }
            }

            /// A set of this kind, with fresh content.
            #[must_use]
            pub fn make(self, algorithm: Algorithm) -> DataSet {
                match self { $(Self::$kind => $make(algorithm),)* }
            }
        }
    };
}

kinds! {
    Image "image" "an image of gzip layers" images::image;
    ImageUncompressed "image-uncompressed" "an image of plain tar layers" images::image_uncompressed;
    ImageZstd "image-zstd" "an image of zstd layers" images::image_zstd;
    Index "index" "an index of two platforms" images::index;
    NestedIndex "nested-index" "an index of indexes" images::nested_index;
    EmptyIndex "empty-index" "an index of nothing" images::empty_index;
    SparseIndex "sparse-index" "an index that lacks a child" images::sparse_index;
    SparseImage "sparse-image" "an image that lacks a layer" images::sparse_image;
    NoLayers "no-layers" "an image without layers" images::no_layers;
    EmptyBlob "empty-blob" "an image with a layer of no bytes" images::empty_blob;
    NonDistributable "non-distributable" "an image with layers that lie elsewhere" images::non_distributable;
    DataField "data-field" "an index whose descriptors carry their content" images::data_field;
    CustomFields "custom-fields" "an index with fields that no specification knows" images::custom_fields;
    Verbatim "verbatim" "an image whose manifest is oddly spaced and ordered" images::verbatim;
    LargeManifest "large-manifest" "an image with a manifest of 3.9 MB" images::large_manifest;
    DockerImage "docker-image" "a Docker image of schema 2" images::docker_image;
    DockerList "docker-list" "a Docker manifest list" images::docker_list;
    Artifact "artifact" "an artifact with an empty config" artifacts::artifact;
    ArtifactNoLayers "artifact-no-layers" "an artifact of nothing but annotations" artifacts::artifact_no_layers;
    ArtifactIndex "artifact-index" "an index of artifacts" artifacts::artifact_index;
    Subject "subject" "an image with artifacts that refer to it" artifacts::subject;
    IndexSubject "index-subject" "an index with an index that refers to it" artifacts::index_subject;
    MissingSubject "missing-subject" "an artifact whose subject is nowhere" artifacts::missing_subject;
    BuildxCache "buildx-cache" "a buildx cache, an index of layers" artifacts::buildx_cache;
    Helm "helm" "a Helm chart" artifacts::helm;
    Cosign "cosign" "a cosign signature" artifacts::cosign;
    Wasm "wasm" "a WebAssembly module" artifacts::wasm;
}
