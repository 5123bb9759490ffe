use std::sync::atomic::{AtomicI64, Ordering};

use super::*;

#[derive(Debug, Default)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

const RATE: Rate = Rate { per_second: 2, burst: 3 };

fn at(millis: i64) -> Timestamp {
    Timestamp(1_750_000_000_000_000 + millis * 1000)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_burst_goes_through_and_then_the_rate_holds_to_the_second() {
    let buckets = Buckets::new(RATE);
    for _ in 0..3 {
        buckets.take(&"a", at(0)).unwrap();
    }
    assert_eq!(buckets.take(&"a", at(0)).unwrap_err().retry_after, 1, "half a second, rounded up");
    buckets.take(&"b", at(0)).unwrap();
    assert!(buckets.take(&"a", at(499)).is_err());
    buckets.take(&"a", at(500)).unwrap();
    assert!(buckets.take(&"a", at(500)).is_err());
    for _ in 0..3 {
        buckets.take(&"a", at(60_000)).unwrap();
    }
    assert!(buckets.take(&"a", at(60_000)).is_err(), "no more is saved up than the burst");
}

#[test]
fn what_was_refused_costs_nothing_and_the_time_told_is_enough() {
    let slow = Buckets::new(Rate { per_second: 1, burst: 5 });
    let mut now = 0;
    for _ in 0..5 {
        slow.take(&"a", at(now)).unwrap();
    }
    for _ in 0..10 {
        let told = slow.take(&"a", at(now)).unwrap_err().retry_after;
        assert_eq!(told, 1);
        assert!(slow.take(&"a", at(now)).is_err());
        now += i64::try_from(told).unwrap() * 1000;
        slow.take(&"a", at(now)).unwrap();
    }
}

#[test]
fn f19_a_clock_that_is_set_back_keeps_nobody_out() {
    let buckets = Buckets::new(RATE);
    for _ in 0..3 {
        buckets.take(&"a", at(3_600_000)).unwrap();
    }
    let told = buckets.take(&"a", at(0)).unwrap_err().retry_after;
    assert!(told <= 2, "{told}");
    buckets.take(&"a", at(500)).unwrap();
}

#[test]
fn memory_is_bounded_and_whoever_was_there_is_served_on() {
    let buckets = Buckets::new(RATE);
    buckets.take(&"good".to_owned(), at(0)).unwrap();
    let mut let_in = 0;
    for n in 0..PARTS * MOST * 2 {
        let_in += usize::from(buckets.take(&format!("flood {n}"), at(0)).is_ok());
    }
    let kept: usize = buckets.parts.iter().map(|part| part.lock().unwrap().full_at.len()).sum();
    assert!(kept <= PARTS * MOST, "{kept}");
    assert!(let_in <= PARTS * (MOST + 3), "{let_in}: those without a bucket of their own share one");
    buckets.take(&"good".to_owned(), at(0)).unwrap();
    buckets.take(&"later".to_owned(), at(10_000)).unwrap();
    let part = usize::try_from(buckets.hasher.hash_one("later") % PARTS as u64).unwrap();
    assert_eq!(buckets.parts[part].lock().unwrap().full_at.len(), 1, "full buckets are forgotten");
}

#[test]
fn each_user_and_each_network_has_its_own_and_pulls_are_not_pushes() {
    let clock = Arc::new(Hands::default());
    let one = Some(Rate { per_second: 1, burst: 1 });
    let settings =
        RateSettings { user_pulls: one, address_pulls: one, address_pushes: one, user_pushes: None };
    let rates = Rates::new(&settings, clock.clone()).unwrap();
    let (ada, bob) = (Subject::User("ada".to_owned()), Subject::User("bob".to_owned()));
    rates.user(Work::Pull, &ada).unwrap();
    assert!(rates.user(Work::Pull, &ada).is_err());
    rates.user(Work::Pull, &bob).unwrap();
    for _ in 0..10 {
        rates.user(Work::Push, &ada).unwrap();
        rates.user(Work::Pull, &Subject::Anonymous).unwrap();
    }
    rates.address(Work::Pull, address("2001:db8::1")).unwrap();
    assert!(rates.address(Work::Pull, address("2001:db8::2")).is_err(), "one /64");
    rates.address(Work::Pull, address("2001:db8:0:1::1")).unwrap();
    rates.address(Work::Pull, address("192.0.2.1")).unwrap();
    assert!(rates.address(Work::Pull, address("::ffff:192.0.2.1")).is_err(), "the same address");
    rates.address(Work::Push, address("2001:db8::1")).unwrap();
    clock.0.store(1_000_000, Ordering::SeqCst);
    rates.user(Work::Pull, &ada).unwrap();
    assert!(Rates::new(&RateSettings::default(), clock).is_none());
}
