//! As much DER (X.690) as it takes to hand keys on in the form that the cryptographic library reads.

const INTEGER: u8 = 2;
const BIT_STRING: u8 = 3;
const OCTET_STRING: u8 = 4;
const SEQUENCE: u8 = 0x30;

/// AlgorithmIdentifier of rsaEncryption, 1.2.840.113549.1.1.1, with its NULL (RFC 8017, A.1).
const RSA_ENCRYPTION: [u8; 15] = [SEQUENCE, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0];

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len().to_be_bytes();
    let length = &length[length.iter().position(|byte| *byte != 0).unwrap_or(length.len() - 1)..];
    let mut out = vec![tag];
    if content.len() >= 128 {
        // At most eight bytes of length: the number fits.
        out.push(0x80 | u8::try_from(length.len()).unwrap_or_default());
    }
    out.extend_from_slice(length);
    out.extend_from_slice(content);
    out
}

fn unsigned(number: &[u8]) -> Vec<u8> {
    let number = &number[number.iter().take_while(|byte| **byte == 0).count()..];
    let mut content = Vec::with_capacity(number.len() + 1);
    if number.first().is_none_or(|first| *first >= 0x80) {
        content.push(0);
    }
    content.extend_from_slice(number);
    element(INTEGER, &content)
}

/// SubjectPublicKeyInfo of an RSA key, from its RSAPublicKey.
pub(super) fn rsa_public_key_info(rsa_public_key: &[u8]) -> Vec<u8> {
    let bits = [&[0], rsa_public_key].concat();
    element(SEQUENCE, &[&RSA_ENCRYPTION[..], &element(BIT_STRING, &bits)].concat())
}

/// RSAPublicKey (RFC 8017, A.1.1).
pub(super) fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[unsigned(modulus), unsigned(exponent)].concat())
}

/// PrivateKeyInfo (PKCS#8, RFC 5208) of an RSA key, from its RSAPrivateKey.
pub(super) fn rsa_private_key_info(rsa_private_key: &[u8]) -> Vec<u8> {
    let version = unsigned(&[]);
    element(SEQUENCE, &[&version[..], &RSA_ENCRYPTION, &element(OCTET_STRING, rsa_private_key)].concat())
}

/// RSAPrivateKey of two primes (RFC 8017, A.1.2): n, e, d, p, q, dp, dq, qi.
pub(super) fn rsa_private_key(numbers: [&[u8]; 8]) -> Vec<u8> {
    let mut content = unsigned(&[]);
    for number in numbers {
        content.extend_from_slice(&unsigned(number));
    }
    element(SEQUENCE, &content)
}
