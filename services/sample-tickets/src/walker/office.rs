//! Who works here, what they say, and what comes in.

use jiff::Timestamp;

use super::{Prng, Proposal, Seal};
use duban_aggregates::actor::Actor;
use duban_aggregates::area::Area;
use duban_aggregates::calendar::{add_days, local_date};
use duban_aggregates::ids::{CustomerId, RequestNo, TicketId};
use duban_aggregates::ticket::install;
use duban_aggregates::ticket::intake::{
    Attachment, Command, Customer, FirstOwner, Intake, OutsideRequest, Service,
};
use duban_aggregates::words::{Channel, Kind, Product, Role, Segment, Severity, Tier};

/// The `number`-th person of a role, in that role's own department; units' people are made by [`member`].
#[must_use]
pub fn actor(role: Role, number: u32) -> Actor {
    let (name, unit) = match role {
        Role::Desk => ("desk", "desk"),
        Role::Investigation => ("investigation", "investigation"),
        Role::Dispatch => ("dispatch", "dispatch"),
        Role::Unit => ("unit", "line-crew"),
        Role::Inspection => ("inspection", "inspection"),
        Role::Reporting => ("reporting", "reporting"),
        Role::Assessment => ("assessment", "assessment"),
        Role::Supervisor => ("supervisor", "supervision"),
        Role::Auditor => ("auditor", "audit"),
        Role::Monitor => ("monitor", "monitor"),
        Role::Observer => ("observer", "observer"),
        Role::Administrator => ("administrator", "it-systems"),
        Role::Timer => ("timer", "system"),
        Role::Rule => ("rule", "system"),
        Role::Import => ("import", "system"),
    };
    let id = if role.is_system() { name.into() } else { format!("{name}-{number:02}").as_str().into() };
    Actor { id, role, unit: unit.into() }
}

/// A member of a unit.
#[must_use]
pub fn member(unit: &str, number: u32) -> Actor {
    Actor { id: format!("{unit}-{number:02}").as_str().into(), role: Role::Unit, unit: unit.into() }
}

/// A recording that another system keeps.
#[must_use]
pub fn attachment(prng: &mut Prng) -> Attachment {
    let mut sha256 = [0; 32];
    sha256[..16].copy_from_slice(&prng.bytes());
    sha256[16..].copy_from_slice(&prng.bytes());
    Attachment { reference: format!("rec-{:016x}", prng.bits()), sha256 }
}

const SURNAMES: [&str; 12] = ["王", "李", "张", "刘", "陈", "杨", "赵", "黄", "周", "吴", "徐", "孙"];
const GIVEN: [&str; 12] = ["伟", "芳", "秀英", "敏", "静", "建国", "丽", "强", "桂兰", "军", "志明", "晓红"];
const DISTRICTS: [(&str, &str, &str); 6] = [
    ("henan", "郑州", "金水区"),
    ("henan", "洛阳", "洛龙区"),
    ("chongqing", "重庆", "渝北区"),
    ("henan", "新乡", "封丘县"),
    ("chongqing", "重庆", "巫溪县"),
    ("henan", "信阳", "潢川县"),
];

const COMPLAINTS: [&str; 8] = [
    "complaint.billing.dispute",
    "complaint.billing.value_added",
    "complaint.service_quality.attitude",
    "complaint.service_quality.missed_visit",
    "complaint.network.slow",
    "complaint.repair_delay",
    "complaint.sales.misleading",
    "complaint.cancellation",
];
const FAULTS: [&str; 7] = [
    "fault.broadband.down",
    "fault.broadband.slow",
    "fault.broadband.intermittent",
    "fault.fixed_line.no_tone",
    "fault.fixed_line.noise",
    "fault.mobile.no_signal",
    "fault.restore_after_arrears",
];
const INSTALLS: [&str; 4] =
    ["install.broadband.new", "install.broadband.move", "install.fixed_line.new", "install.tv"];

const COMPLAINT_WORDS: [&str; 5] = [
    "本月账单多出两笔增值业务费,从未订购,要求退费并说明原因。",
    "约好上午上门,等到下午五点无人联系,请假一天白费。",
    "客服答复前后不一,三次来电三种说法。",
    "晚高峰网速不足签约带宽一半,已持续三周。",
    "办理销户后仍被扣月租两个月。",
];
const FAULT_WORDS: [&str; 4] = [
    "宽带从早上九点起不通,光猫红灯常亮。",
    "电话有持续杂音,对方听不清。",
    "网络频繁掉线,每小时三四次。",
    "雷雨之后电话无音。",
];
const INSTALL_WORDS: [&str; 3] =
    ["新房装宽带,三楼东户,下班后可上门。", "移机到新地址,需保留原号码。", "店铺开业前需装好固话两部。"];
const WORDS: [&str; 12] = [
    "经现场查勘,交接箱至分线盒段电缆被施工挖断。",
    "计费系统套餐生效时间录入有误。",
    "端口配置与资源系统不符,已核对更正。",
    "已更换分光器并重做接头,测试正常。",
    "已与用户电话确认,用户表示认可。",
    "该环节无责任,处理及时、记录完整。",
    "未按预约时间上门,且未提前告知用户。",
    "在该路段补设光缆标志桩,并纳入季度巡检。",
    "本单元不负责该区段,请改派。",
    "等待物业提供弱电井钥匙,附函件编号。",
    "一次性问题,无需另立改进措施。",
    "请补充现场照片与测试记录。",
];

/// Something that somebody here would say.
pub(super) fn words(prng: &mut Prng) -> &'static str {
    prng.pick(&WORDS)
}

/// A unit that could hold an order on such a category.
pub(super) fn unit_for(prng: &mut Prng, category: &str) -> &'static str {
    let units: &[&str] = if category.starts_with("install") {
        &["install-crew", "install-contractor", "access-network"]
    } else if category.starts_with("fault.mobile") {
        &["mobile-network", "transmission", "power"]
    } else if category.starts_with("fault") {
        &["line-crew", "access-network", "transmission", "switching", "data-network"]
    } else if category.starts_with("complaint.billing") {
        &["billing", "it-systems", "sales", "counters"]
    } else {
        &["hotline", "install-crew", "access-network", "sales", "customer-114"]
    };
    prng.pick(units)
}

/// A case as it comes in.
pub(super) fn take_in(prng: &mut Prng, customer: CustomerId, at: Timestamp, seal: Seal<'_>) -> Proposal {
    let kind = match prng.below(100) {
        0..35 => Kind::Complaint,
        35..80 => Kind::Fault,
        _ => Kind::Install,
    };
    let (category, description, channel) = match kind {
        Kind::Complaint => (prng.pick(&COMPLAINTS), prng.pick(&COMPLAINT_WORDS), complaint_channel(prng)),
        Kind::Fault if prng.percent(2) => (prng.pick(&FAULTS), prng.pick(&FAULT_WORDS), Channel::Police110),
        Kind::Fault => (prng.pick(&FAULTS), prng.pick(&FAULT_WORDS), Channel::Desk112),
        Kind::Install => (prng.pick(&INSTALLS), prng.pick(&INSTALL_WORDS), Channel::Hotline10000),
    };
    let desk = actor(Role::Desk, prng.below(8));
    let index = prng.below(6);
    let (province, city, district) = DISTRICTS[usize::try_from(index).unwrap_or(0)];
    let name = format!("{}{}", prng.pick(&SURNAMES), prng.pick(&GIVEN));
    // No operator has this prefix.
    let phone = format!("100{:08}", prng.below(100_000_000));
    let bodies = [Channel::Police110, Channel::Consumer12315, Channel::Mayor12345, Channel::Miit12381];
    let handed_over = bodies.contains(&channel).then(|| OutsideRequest {
        request: RequestNo(1),
        body: channel,
        number: format!("{:010}", prng.below(1_000_000_000)),
        handed_over_at: at,
        due: None,
    });
    let intake = Intake {
        ticket: TicketId(prng.uuid()),
        kind,
        channel,
        category: category.to_owned(),
        severity: if prng.percent(20) { Severity::Critical } else { Severity::Major },
        description: seal(description),
        remedy: prng.percent(40).then(|| seal("尽快处理并书面答复。")),
        happened_at: super::after(at, -i64::from(prng.below(86_400))),
        taken_in_at: at,
        first_owner: FirstOwner { employee: desk.id.clone(), department: desk.unit.clone() },
        customer: Some(Customer {
            id: customer,
            name: seal(&name),
            phone: seal(&phone),
            phone_hash: prng.bytes(),
            address: Some(seal(&format!("{city}{district}人民路{}号", prng.below(300) + 1))),
            tier: match prng.below(10) {
                0 => Tier::Gold,
                1 | 2 => Tier::Silver,
                _ => Tier::Standard,
            },
            segment: if prng.percent(6) { Segment::LargeAccount } else { Segment::Public },
        }),
        service: Some(Service {
            number: seal(&phone),
            number_hash: prng.bytes(),
            product: if category.contains("mobile") { Product::Mobile } else { Product::Broadband },
            monthly_rent_fen: u64::from(prng.below(20) + 3) * 1_000,
        }),
        area: Area {
            province: province.to_owned(),
            city: city.to_owned(),
            district: district.to_owned(),
            rural: index >= 3,
        },
        requests: handed_over.into_iter().collect(),
        attachments: if prng.percent(30) { vec![attachment(prng)] } else { Vec::new() },
        mass_outage: kind == Kind::Fault && prng.percent(1),
        linked: None,
        install: (kind == Kind::Install).then(|| install::Order {
            fees_fen: u64::from(prng.below(5) + 1) * 10_000,
            promised_on: prng.percent(50).then(|| add_days(local_date(at), prng.below(12) + 4)),
        }),
        source: None,
        reporter: None,
    };
    let command = Command::TakeIn { intake: Box::new(intake), open_twin: None, reopenable_twin: None };
    Proposal { at, actor: desk, command: command.into() }
}

fn complaint_channel(prng: &mut Prng) -> Channel {
    match prng.below(20) {
        0 => Channel::Consumer12315,
        1 => Channel::Mayor12345,
        2 => Channel::Miit12381,
        3 => Channel::GmHotline,
        4 | 5 => Channel::Counter,
        6 | 7 => Channel::Web,
        _ => Channel::Line180,
    }
}
