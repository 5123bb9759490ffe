use super::*;

fn user(name: &str) -> UserRow {
    UserRow {
        name: name.to_owned(),
        hash: format!("$argon2id$ of {name}"),
        admin: false,
        disabled: false,
        created_at: NOW,
        updated_at: NOW,
        last_login_at: None,
    }
}

fn robot(name: &str) -> RobotRow {
    RobotRow {
        name: name.to_owned(),
        secret_hash: vec![0, 255, 7],
        description: "pushes".to_owned(),
        disabled: false,
        created_by: "user:ada".to_owned(),
        created_at: NOW,
        updated_at: NOW,
        expires_at: Some(NOW + HOUR),
        last_login_at: None,
    }
}

fn group(name: &str) -> GroupRow {
    GroupRow { name: name.to_owned(), description: format!("all of {name}"), created_at: NOW }
}

pub(super) async fn a_user_comes_back_as_it_was_added_and_changed(f: &Fixture) {
    let c = &f.catalog;
    assert_eq!(c.user("ada").await.unwrap(), None);
    assert_eq!(c.user("a\0").await.unwrap(), None);
    assert!(c.add_user(&user("ada")).await.unwrap());
    assert!(!c.add_user(&UserRow { admin: true, ..user("ada") }).await.unwrap(), "the name is taken");
    assert_eq!(c.user("ada").await.unwrap(), Some(user("ada")));
    let later = NOW + HOUR;
    for change in [
        UserChange { hash: Some("new".to_owned()), ..UserChange::default() },
        UserChange { admin: Some(true), ..UserChange::default() },
        UserChange { disabled: Some(true), ..UserChange::default() },
        UserChange::default(),
    ] {
        assert!(c.change_user("ada", &change, later).await.unwrap());
        assert!(!c.change_user("eve", &change, later).await.unwrap());
    }
    c.user_came("ada", later).await.unwrap();
    let changed = UserRow {
        hash: "new".to_owned(),
        admin: true,
        disabled: true,
        updated_at: later,
        last_login_at: Some(later),
        ..user("ada")
    };
    assert_eq!(c.user("ada").await.unwrap(), Some(changed));
    let back = UserChange { admin: Some(false), disabled: Some(false), ..UserChange::default() };
    c.change_user("ada", &back, later).await.unwrap();
    let row = c.user("ada").await.unwrap().unwrap();
    assert!(!row.admin && !row.disabled && row.hash == "new");
}

pub(super) async fn administrators_are_counted_unless_shut_out(f: &Fixture) {
    let c = &f.catalog;
    assert_eq!(c.count_admins(9).await.unwrap(), 0);
    c.add_user(&user("a")).await.unwrap();
    c.add_user(&UserRow { admin: true, ..user("b") }).await.unwrap();
    c.add_user(&UserRow { admin: true, disabled: true, ..user("c") }).await.unwrap();
    c.add_user(&UserRow { admin: true, ..user("d") }).await.unwrap();
    assert_eq!(c.count_admins(9).await.unwrap(), 2);
    assert_eq!(c.count_admins(1).await.unwrap(), 1);
}

pub(super) async fn users_and_robots_come_in_byte_order_page_by_page(f: &Fixture) {
    let c = &f.catalog;
    for name in ["b", "a", "B", "a-b", "ab"] {
        c.add_user(&user(name)).await.unwrap();
        c.add_robot(&robot(&format!("{name}/ci"))).await.unwrap();
        c.add_group(&group(name)).await.unwrap();
    }
    let users = async |after, limit| -> Vec<String> {
        c.users(after, limit).await.unwrap().into_iter().map(|row| row.name).collect()
    };
    assert_eq!(users(None, 9).await, ["B", "a", "a-b", "ab", "b"]);
    assert_eq!(users(Some("a"), 2).await, ["a-b", "ab"]);
    assert_eq!(users(Some("b"), 2).await, [""; 0]);
    let robots = c.robots(Some("a/ci"), 2).await.unwrap();
    assert_eq!(robots.iter().map(|row| &*row.name).collect::<Vec<_>>(), ["ab/ci", "b/ci"]);
    assert_eq!(c.groups(Some("B"), 1).await.unwrap(), [group("a")]);
}

pub(super) async fn a_robot_comes_back_as_it_was_added_and_changed(f: &Fixture) {
    let c = &f.catalog;
    assert!(c.add_robot(&robot("team/ci")).await.unwrap());
    assert!(!c.add_robot(&robot("team/ci")).await.unwrap(), "the name is taken");
    assert_eq!(c.robot("team/ci").await.unwrap(), Some(robot("team/ci")));
    assert_eq!(c.robot("team/\0").await.unwrap(), None);
    let later = NOW + HOUR;
    for change in [
        RobotChange { secret_hash: Some(vec![9; 32]), ..RobotChange::default() },
        RobotChange { disabled: Some(true), ..RobotChange::default() },
        RobotChange { expires_at: Some(None), ..RobotChange::default() },
        RobotChange::default(),
    ] {
        assert!(c.change_robot("team/ci", &change, later).await.unwrap());
        assert!(!c.change_robot("team/cd", &change, later).await.unwrap());
    }
    c.robot_came("team/ci", later).await.unwrap();
    let changed = RobotRow {
        secret_hash: vec![9; 32],
        disabled: true,
        expires_at: None,
        updated_at: later,
        last_login_at: Some(later),
        ..robot("team/ci")
    };
    assert_eq!(c.robot("team/ci").await.unwrap(), Some(changed));
    assert!(c.delete_robot("team/ci").await.unwrap());
    assert!(!c.delete_robot("team/ci").await.unwrap());
    assert_eq!(c.robot("team/ci").await.unwrap(), None);
}

pub(super) async fn members_go_with_their_group_and_with_their_account(f: &Fixture) {
    let c = &f.catalog;
    assert!(c.add_group(&group("ops")).await.unwrap());
    assert!(!c.add_group(&group("ops")).await.unwrap(), "the name is taken");
    c.add_group(&group("dev")).await.unwrap();
    c.add_user(&user("ada")).await.unwrap();
    c.add_robot(&robot("team/ci")).await.unwrap();
    for member in ["user:ada", "robot:team/ci", "cert:builder", "user:ada"] {
        assert!(c.add_member("ops", member).await.unwrap());
        assert!(c.add_member("dev", member).await.unwrap());
        assert!(!c.add_member("none", member).await.unwrap());
    }
    let members = async |after, limit| c.members("ops", after, limit).await.unwrap();
    assert_eq!(members(None, 9).await.unwrap(), ["cert:builder", "robot:team/ci", "user:ada"]);
    assert_eq!(members(Some("cert:builder"), 1).await.unwrap(), ["robot:team/ci"]);
    assert_eq!(c.members("none", None, 9).await.unwrap(), None);
    assert_eq!(c.groups_of("user:ada").await.unwrap(), ["dev", "ops"]);
    assert_eq!(c.groups_of("a\0").await.unwrap(), [""; 0]);
    assert!(c.remove_member("dev", "user:ada").await.unwrap());
    assert!(!c.remove_member("dev", "user:ada").await.unwrap());
    assert_eq!(c.groups_of("user:ada").await.unwrap(), ["ops"]);
    assert!(c.delete_user("ada").await.unwrap());
    assert!(!c.delete_user("ada").await.unwrap());
    assert!(c.delete_robot("team/ci").await.unwrap());
    assert_eq!(members(None, 9).await.unwrap(), ["cert:builder"], "a new user of that name is in no group");
    assert!(c.delete_group("ops").await.unwrap());
    assert!(!c.delete_group("ops").await.unwrap());
    assert_eq!(c.groups_of("cert:builder").await.unwrap(), ["dev"]);
    c.add_group(&group("ops")).await.unwrap();
    assert_eq!(members(None, 9).await.unwrap(), [""; 0]);
}

pub(super) async fn of_many_who_add_one_name_at_once_one_does(f: &Fixture) {
    let (user, robot) = (&user("ada"), &robot("team/ci"));
    let added = futures_util::future::join_all((0..10).map(|_| f.catalog.add_user(user))).await;
    assert_eq!(added.into_iter().filter(|added| *added.as_ref().unwrap()).count(), 1);
    let added = futures_util::future::join_all((0..10).map(|_| f.catalog.add_robot(robot))).await;
    assert_eq!(added.into_iter().filter(|added| *added.as_ref().unwrap()).count(), 1);
}
