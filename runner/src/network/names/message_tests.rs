use proptest::prelude::*;

use super::*;

fn ask(name: &str, kind: u16, size: Option<u16>) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(size.is_some())];
    for label in name.split('.').filter(|label| !label.is_empty()) {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes.extend(kind.to_be_bytes());
    bytes.extend([0, 1]);
    if let Some(size) = size {
        bytes.extend([0, 0, 41]);
        bytes.extend(size.to_be_bytes());
        bytes.extend([0; 6]);
    }
    bytes
}

#[test]
fn a_question_is_read_and_answered() {
    let query = Query::parse(&ask("Web.Example", A, None)).unwrap();
    assert_eq!((query.name.as_deref(), query.kind, query.internet), (Some("web.example"), A, true));
    assert_eq!(query.datagram(), 512);
    let answer = query.answer(Outcome::Found, &[Record::Address("10.0.0.7".parse().unwrap())], 512);
    assert!(query.answered_by(0x1234, &answer));
    assert!(!query.answered_by(0x1235, &answer));
    assert_eq!(answer[6..8], [0, 1]);
    assert!(answer.ends_with(&[0, 4, 10, 0, 0, 7]));
    let other = Query::parse(&ask("db.example", A, None)).unwrap();
    assert!(!other.answered_by(0x1234, &answer));
}

#[test]
fn an_answer_that_does_not_fit_says_so() {
    let query = Query::parse(&ask("web", A, None)).unwrap();
    let many: Vec<_> = (0..100).map(|n| Record::Address(Ipv4Addr::new(10, 0, 0, n).into())).collect();
    let answer = query.answer(Outcome::Found, &many, query.datagram());
    assert!(truncated(&answer) && answer.len() <= 512);
    assert!(!truncated(&query.answer(Outcome::Found, &many, 65535)));
    assert!(truncated(&query.pass(&[0; 600], 512)));
}

#[test]
fn a_sender_says_how_much_it_takes() {
    assert_eq!(Query::parse(&ask("web", A, Some(4096))).unwrap().datagram(), 1232);
    assert_eq!(Query::parse(&ask("web", A, Some(1000))).unwrap().datagram(), 1000);
    assert_eq!(Query::parse(&ask("web", A, Some(3))).unwrap().datagram(), 512);
}

#[test]
fn what_is_no_question_is_refused_or_not_answered_at_all() {
    assert_eq!(Query::parse(&[]), Err(None));
    assert_eq!(Query::parse(&[0; 11]), Err(None));
    let mut answer = ask("web", A, None);
    answer[2] |= 0x80;
    assert_eq!(Query::parse(&answer), Err(None));
    let code = |bytes: &[u8]| Query::parse(bytes).unwrap_err().unwrap()[3] & 15;
    let mut status = ask("web", A, None);
    status[2] = 0x10;
    assert_eq!(code(&status), 4);
    let mut two = ask("web", A, None);
    two[5] = 2;
    assert_eq!(code(&two), 1);
    let mut pointer = ask("web", A, None);
    pointer[12..14].copy_from_slice(&[0xc0, 12]);
    assert_eq!(code(&pointer), 1);
    let long = ask(&["a"; 140].join("."), A, None);
    assert_eq!(code(&long), 1);
}

#[test]
fn reverse_names_are_addresses() {
    assert_eq!(reversed("7.0.90.10.in-addr.arpa"), Some("10.90.0.7".parse().unwrap()));
    assert_eq!(reversed("0.90.10.in-addr.arpa"), None);
    assert_eq!(reversed("300.0.90.10.in-addr.arpa"), None);
    let six = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.9.0.0.0.0.d.f.ip6.arpa";
    assert_eq!(reversed(six), Some("fd00:90::1".parse().unwrap()));
    assert_eq!(reversed(&six[2..]), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..600), honest: bool) {
        if honest && bytes.len() > 6 {
            // Past the first looks: a question, one of them.
            bytes[2] = 1;
            bytes[4..6].copy_from_slice(&[0, 1]);
        }
        if let Ok(query) = Query::parse(&bytes) {
            let answer = query.answer(Outcome::Unknown, &[], query.datagram());
            prop_assert!(answer.len() <= query.datagram());
            prop_assert!(query.answered_by(query.id, &answer));
            let _asked = query.answered_by(query.id, &bytes);
        }
    }

    #[test]
    fn a_question_cut_anywhere_is_no_question(cut in 0_usize..44) {
        let whole = ask("a-longer.name.example", A, Some(4096));
        let question = whole.len() - 11;
        let parsed = Query::parse(&whole[..cut.min(whole.len())]);
        prop_assert_eq!(parsed.is_ok(), cut >= question);
    }
}
