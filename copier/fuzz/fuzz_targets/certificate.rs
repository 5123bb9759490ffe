#![no_main]
//! Certificates and public keys in PEM and DER: alone, as a root, as a signer's with a chain.

use berth_copier::signature::sigstore::{Authority, FulcioSubject, PkiSubject, PublicKey, certificates};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (one, two) = input;
    let at = jiff::Timestamp::from_second(1_700_000_000).expect("a time");
    if let Ok(key) = PublicKey::from_der(&one) {
        assert!(PublicKey::from_pem(key.to_pem().as_bytes()).is_ok());
    }
    let _any = PublicKey::from_pem(&one);
    // The sanitizer finds bytes more easily in DER than behind base64.
    for text in [one.clone(), pem(&one)] {
        let Ok(roots) = certificates(&text) else { continue };
        let authority = Authority { roots, intermediates: Vec::new() };
        let fulcio = FulcioSubject { oidc_issuer: "a".to_owned(), email: "a@b".to_owned() };
        let pki = PkiSubject { email: Some("a@b".to_owned()), hostname: Some("a.b".to_owned()) };
        for leaf in [text.clone(), pem(&two)] {
            let _any = authority.verify_fulcio(&fulcio, &leaf, Some(&pem(&two)), at);
            let _any = authority.verify_pki(&pki, &leaf, Some(&pem(&two)), at);
        }
    }
});

fn pem(der: &[u8]) -> Vec<u8> {
    berth_copier_fuzz::pem("CERTIFICATE", der)
}
