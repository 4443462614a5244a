//! Programs to test with.

use apl_bytecode::*;

/// All of them, with a name for messages.
pub(crate) fn all() -> Vec<(&'static str, Program)> {
    vec![
        ("empty", Program::default()),
        ("hr", hr()),
        ("every variant", every_variant()),
        ("extremes", extremes()),
        ("jumps", jumps()),
    ]
}

/// Adds a text once.
pub(crate) fn text(program: &mut Program, text: &str) -> StrId {
    let at = program.strings.iter().position(|known| known == text);
    let at = at.unwrap_or_else(|| {
        program.strings.push(text.into());
        program.strings.len() - 1
    });
    StrId(at as u32)
}

fn push<T>(table: &mut Vec<T>, entry: T) -> u32 {
    table.push(entry);
    table.len() as u32 - 1
}

fn attr(program: &mut Program, path: &str) -> AttrId {
    let segs = path
        .split('.')
        .map(|name| Seg::Name(text(program, name)))
        .collect();
    AttrId(push(&mut program.attrs, Attr { segs }))
}

fn step(
    program: &mut Program,
    source: &str,
    index: u16,
    reason: Option<&str>,
    code: Option<&str>,
) -> DenialId {
    let source = text(program, source);
    let reason = reason.map(|reason| text(program, reason));
    let code = match code {
        None => Code::Step {
            source,
            phase: Phase::Pre,
            index,
            reactions: vec![],
        },
        Some(code) => {
            let code = text(program, code);
            Code::Named {
                code,
                source,
                phase: Phase::Pre,
                index,
                reactions: vec![],
            }
        }
    };
    DenialId(push(&mut program.denials, Denial { code, reason }))
}

fn effect(program: &mut Program, effect: Effect) -> Instr {
    Instr::Effect(EffectId(push(&mut program.effects, effect)))
}

fn audit(program: &mut Program, source: &str, index: u16) -> Instr {
    let plugin = text(program, "audit-log");
    let source = text(program, source);
    let code = Code::Step {
        source,
        phase: Phase::Pre,
        index,
        reactions: vec![],
    };
    effect(
        program,
        Effect::Audit {
            plugin,
            durable: false,
            code,
        },
    )
}

fn delegate(program: &mut Program, source: &str, index: u16, names: [&str; 3]) -> Instr {
    let denial = step(program, source, index, None, None);
    let [delegator, target, permission] = names.map(|name| text(program, name));
    effect(
        program,
        Effect::Delegate(Delegate {
            delegator,
            target,
            audience: target,
            permissions: vec![permission],
            subject: Subject::User,
            actor: None,
            ttl_s: 0,
            on_error: OnError::Deny,
            denial,
        }),
    )
}

fn steps(program: &mut Program, code: Vec<Instr>) -> BlockId {
    BlockId(push(
        &mut program.blocks,
        Block {
            kind: BlockKind::Steps,
            code,
        },
    ))
}

fn expression(program: &mut Program, code: Vec<Instr>) -> BlockId {
    BlockId(push(
        &mut program.blocks,
        Block {
            kind: BlockKind::Expr,
            code,
        },
    ))
}

fn route(entity: EntityKind, matcher: Matcher, pre: Option<BlockId>, post: Option<BlockId>) -> Route {
    Route {
        entity,
        matcher,
        scope: None,
        pre,
        post,
        identities: vec![],
        response: None,
        pass_unparseable: false,
        enforcement: Enforcement::Enforce,
        owner: None,
        assertions: None,
        tags: Vec::new(),
        properties: Vec::new(),
    }
}

/// The seed policy, as the compiler would make it.
pub(crate) fn hr() -> Program {
    let mut p = Program::default();
    let p = &mut p;
    let header = text(p, "authorization");
    let issuer = text(p, "https://idp.example/realms/demo");
    let audience = text(p, "mcp-gateway");
    let name = text(p, "jwt");
    p.identities.push(Identity {
        name,
        role: TokenRole::User,
        source: CredentialSource::Token {
            header,
            prefix: None,
            issuers: vec![Issuer {
                issuer,
                audiences: vec![audience],
                algorithms: vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa],
                leeway_s: 60,
                jwks: None,
            }],
        },
        trust_domains: vec![],
        claim_map: ClaimMap::default(),
    });
    let mut routes = vec![];

    let source = "routes.tool:get_compensation";
    let role = attr(p, "role.hr");
    let view = attr(p, "perm.view_ssn");
    let denial = step(p, source, 0, None, None);
    let mut code = vec![Instr::Truth(role), Instr::Not, Instr::DenyIf(denial)];
    code.push(delegate(
        p,
        source,
        1,
        ["workday-oauth", "workday-api", "read_compensation"],
    ));
    let denial = step(p, source, 2, None, None);
    let label = text(p, "secret");
    code.push(effect(
        p,
        Effect::Taint {
            label,
            scopes: Scopes::SESSION,
            ttl_s: 0,
            denial,
        },
    ));
    code.push(audit(p, source, 3));
    let pre = steps(p, code);
    let condition = expression(p, vec![Instr::Truth(view), Instr::Not]);
    let ssn = text(p, "ssn");
    let field = Code::Field {
        source: text(p, source),
        result: true,
        field: ssn,
    };
    let denial = DenialId(push(
        &mut p.denials,
        Denial {
            code: field,
            reason: None,
        },
    ));
    let pipeline = PipelineId(push(
        &mut p.pipelines,
        Pipeline {
            side: Side::Result,
            path: vec![PathSeg::Key(ssn)],
            stages: vec![Stage::Type(TypeCheck::Str), Stage::Redact(Some(condition))],
            denial,
        },
    ));
    let post = steps(p, vec![Instr::Pipeline(pipeline)]);
    routes.push(("get_compensation", pre, Some(post)));

    let source = "routes.tool:search_repos";
    let engineering = attr(p, "team.engineering");
    let security = attr(p, "team.security");
    let denial = step(p, source, 0, None, None);
    let mut code = vec![
        Instr::Truth(engineering),
        Instr::Truth(security),
        Instr::Or,
        Instr::Not,
        Instr::DenyIf(denial),
    ];
    let engineer = attr(p, "role.engineer");
    let visibility = attr(p, "args.visibility");
    let internal = ConstId(push(&mut p.consts, Const::Str(StrId(0))));
    p.consts[internal.at()] = Const::Str(text(p, "internal"));
    let role = attr(p, "role.security");
    let reason = "engineers read internal only; security reads any";
    let denial = step(p, source, 1, Some(reason), Some("cel.policy_denied"));
    code.extend([
        Instr::Load(engineer),
        Instr::Load(visibility),
        Instr::Const(internal),
        Instr::Cel(CmpOp::Eq),
        Instr::And,
        Instr::Load(role),
        Instr::Or,
        Instr::Decide(14),
        Instr::Deny(denial),
    ]);
    code.push(delegate(
        p,
        source,
        2,
        ["github-oauth", "github-api", "repo:read:internal"],
    ));
    code.push(audit(p, source, 3));
    let pre = steps(p, code);
    routes.push(("search_repos", pre, None));

    let source = "routes.tool:send_email";
    let may = attr(p, "perm.email_send");
    let denial = step(p, source, 0, None, None);
    let mut code = vec![Instr::Truth(may), Instr::Not, Instr::DenyIf(denial)];
    let name = text(p, "pii-scan");
    let detected = text(p, "pii.detected");
    let detectors = vec![
        Detector::Ssn,
        Detector::CreditCard,
        Detector::Iban,
        Detector::Email,
        Detector::Phone,
    ];
    let scanner = ScannerId(push(
        &mut p.scanners,
        Scanner {
            name,
            detectors,
            code: detected,
        },
    ));
    let denial = step(p, source, 1, None, None);
    code.push(Instr::Scan(scanner, denial));
    let denial = step(p, source, 2, None, None);
    code.push(effect(p, Effect::LoadLabels { denial }));
    let labels = attr(p, "security.labels");
    let secret = text(p, "secret");
    let secret = ConstId(push(&mut p.consts, Const::Str(secret)));
    let denial = step(p, source, 2, Some("write-down blocked"), Some("session_tainted"));
    code.extend([
        Instr::Await,
        Instr::Contains(labels, secret),
        Instr::DenyIf(denial),
    ]);
    code.push(audit(p, source, 3));
    let pre = steps(p, code);
    routes.push(("send_email", pre, None));

    for (name, pre, post) in routes {
        let name = text(p, name);
        let mut route = route(EntityKind::Tool, Matcher::Exact(name), Some(pre), post);
        route.identities.push(IdentityId(0));
        p.routes.push(route);
    }
    p.fallbacks.push(Fallback {
        entity: None,
        pre: None,
        post: None,
        identities: vec![IdentityId(0)],
        assertions: None,
    });
    std::mem::take(p)
}

/// One of everything that the model can say.
pub(crate) fn every_variant() -> Program {
    let mut p = Program::default();
    let p = &mut p;
    for name in ["args", "a", "result", "b", "security", "labels", "ä \u{10ffff}"] {
        text(p, name);
    }
    let (s, t) = (StrId(0), StrId(1));
    p.consts = vec![
        Const::Null,
        Const::Bool(true),
        Const::Bool(false),
        Const::Int(-1),
        Const::Uint(7),
        Const::Float(0.5),
        Const::Str(s),
    ];
    p.attrs = vec![
        Attr {
            segs: vec![Seg::Name(s), Seg::Name(t)],
        },
        Attr {
            segs: vec![Seg::Name(StrId(2)), Seg::Value(AttrId(0)), Seg::Name(StrId(3))],
        },
        Attr {
            segs: vec![Seg::Name(StrId(4)), Seg::Name(StrId(5))],
        },
    ];
    p.regexes.push(Regex {
        pattern: t,
        dfa: vec![0, 1, 255],
    });
    for code in [
        Code::Text(s),
        Code::Named {
            code: s,
            source: t,
            phase: Phase::Post,
            index: 300,
            reactions: vec![],
        },
        Code::Step {
            source: s,
            phase: Phase::Pre,
            index: 2,
            reactions: vec![(true, 0), (false, 200)],
        },
        Code::Field {
            source: s,
            result: false,
            field: t,
        },
    ] {
        p.denials.push(Denial {
            code: code.clone(),
            reason: None,
        });
        p.denials.push(Denial {
            code,
            reason: Some(t),
        });
    }
    let body = expression(p, vec![Instr::Local(0), Instr::Not]);
    let inner = expression(p, vec![Instr::Local(1), Instr::Local(0), Instr::Cel(CmpOp::Eq)]);
    let outer = expression(p, vec![Instr::Local(0), Instr::Fold(Fold::Filter, inner)]);
    let (a, b, c, d) = (AttrId(0), AttrId(1), ConstId(3), DenialId(0));
    let condition = vec![
        Instr::Truth(a),
        Instr::Exists(b),
        Instr::And,
        Instr::In(a, b),
        Instr::Or,
        Instr::Not,
    ];
    let condition = expression(p, condition);

    let mut code = vec![];
    for op in [CmpOp::Eq, CmpOp::Ne, CmpOp::Lt, CmpOp::Le, CmpOp::Gt, CmpOp::Ge] {
        code.extend([
            Instr::Compare(op, a, c),
            Instr::Const(c),
            Instr::Cel(op),
            Instr::DenyIf(d),
        ]);
    }
    for op in [Arith::Add, Arith::Sub, Arith::Mul, Arith::Div, Arith::Rem] {
        code.extend([
            Instr::Load(a),
            Instr::Const(c),
            Instr::Arith(op),
            Instr::DenyIf(d),
        ]);
    }
    for function in [
        Call::Size,
        Call::StartsWith,
        Call::EndsWith,
        Call::Contains,
        Call::Int,
        Call::Uint,
        Call::Double,
        Call::String,
        Call::Bool,
        Call::LowerAscii,
        Call::UpperAscii,
        Call::Trim,
    ] {
        code.extend((0..function.arity()).map(|_| Instr::Load(a)));
        code.extend([Instr::Call(function), Instr::DenyIf(d)]);
    }
    for kind in [Fold::All, Fold::Exists, Fold::ExistsOne, Fold::Filter, Fold::Map] {
        code.extend([Instr::Load(a), Instr::Fold(kind, body), Instr::DenyIf(d)]);
    }
    code.extend([Instr::Load(a), Instr::Fold(Fold::Map, outer), Instr::DenyIf(d)]);
    code.extend([
        Instr::Contains(a, c),
        Instr::Has(a),
        Instr::CelIn,
        Instr::Neg,
        Instr::DenyIf(d),
    ]);
    code.extend([
        Instr::Load(a),
        Instr::Const(c),
        Instr::Index,
        Instr::Select(t),
        Instr::HasField(t),
    ]);
    code.extend([
        Instr::Load(a),
        Instr::Matches(RegexId(0)),
        Instr::Load(a),
        Instr::Choose,
        Instr::DenyIf(d),
    ]);
    code.extend([
        Instr::Load(a),
        Instr::Load(b),
        Instr::List(2),
        Instr::List(0),
        Instr::CelIn,
    ]);
    let end = code.len() as u32 + 12;
    code.extend([
        Instr::SkipUnless(end - 9, d),
        Instr::Truth(a),
        Instr::Decide(end - 9),
        Instr::Jump(end - 8),
    ]);
    code.push(Instr::Deny(d));
    code.extend([Instr::Pipeline(PipelineId(0)), Instr::Scan(ScannerId(0), d)]);
    code.extend((0..4).map(|at| Instr::Effect(EffectId(at))));
    code.push(Instr::Await);
    let pre = steps(p, code);
    let post = steps(p, vec![Instr::Pipeline(PipelineId(1))]);

    let stages = vec![
        Stage::Type(TypeCheck::Str),
        Stage::Type(TypeCheck::Int),
        Stage::Type(TypeCheck::Bool),
        Stage::Type(TypeCheck::Float),
        Stage::Email,
        Stage::Url,
        Stage::Uuid,
        Stage::Range(Some(i64::MIN), None),
        Stage::Len(None, Some(u32::MAX)),
        Stage::Enum(vec![s, t]),
        Stage::Regex(RegexId(0)),
        Stage::Mask(4),
        Stage::Redact(None),
        Stage::Redact(Some(condition)),
        Stage::Omit,
        Stage::Hash,
        Stage::Taint(s, Scopes::SESSION.with(Scopes::MESSAGE)),
        Stage::Scan {
            scanner: ScannerId(0),
            mode: ScanMode::Detect,
            label: None,
        },
        Stage::Scan {
            scanner: ScannerId(0),
            mode: ScanMode::Redact,
            label: Some(s),
        },
        Stage::Scan {
            scanner: ScannerId(0),
            mode: ScanMode::Deny,
            label: None,
        },
        Stage::Required,
    ];
    let path = vec![PathSeg::Key(s), PathSeg::AnyDepth];
    p.pipelines.push(Pipeline {
        side: Side::Args,
        path: path.clone(),
        stages: stages.clone(),
        denial: d,
    });
    p.pipelines.push(Pipeline {
        side: Side::Result,
        path,
        stages,
        denial: d,
    });
    p.scanners.push(Scanner {
        name: s,
        detectors: vec![
            Detector::Ssn,
            Detector::CreditCard,
            Detector::Iban,
            Detector::Email,
            Detector::Phone,
            Detector::IpAddress,
            Detector::ApiKey,
            Detector::PrivateKey,
            Detector::Jwt,
            Detector::PromptInjection,
            Detector::Custom(t, RegexId(0)),
        ],
        code: t,
    });
    let question = expression(
        p,
        vec![Instr::Const(ConstId(0)), Instr::Const(ConstId(0)), Instr::Map(1)],
    );
    p.effects = vec![
        Effect::Taint {
            label: s,
            scopes: Scopes::SUBJECT,
            ttl_s: 3600,
            denial: d,
        },
        Effect::LoadLabels { denial: d },
        Effect::Delegate(Delegate {
            delegator: s,
            target: t,
            audience: t,
            permissions: vec![s, t],
            subject: Subject::ThisWorkload,
            actor: Some(Actor::CallerWorkload),
            ttl_s: 0,
            on_error: OnError::Continue,
            denial: d,
        }),
        Effect::Audit {
            plugin: s,
            durable: true,
            code: Code::Text(t),
        },
        Effect::Elicit(Elicit {
            kind: ElicitKind::Attestation,
            handler: s,
            from: Operand::Attr(AttrId(0)),
            channel: Some(s),
            purpose: Some(t),
            scope: Some(s),
            timeout_s: 900,
            show: Some(vec![AttrId(0)]),
            on_error: OnError::Continue,
            denial: d,
        }),
        Effect::Decide(Decision {
            dialect: Dialect::Cedar,
            point: s,
            call: question,
            input: vec![AttrId(0)],
            denial: d,
        }),
        Effect::Count(Count {
            name: s,
            limit: u64::MAX,
            window_s: 3600,
            by: vec![AttrId(0)],
            cost: Cost::Attr(AttrId(0)),
            denial: d,
        }),
        Effect::Attenuate(Attenuate {
            delegate: Delegate {
                delegator: s,
                target: t,
                audience: t,
                permissions: vec![s],
                subject: Subject::Client,
                actor: None,
                ttl_s: 60,
                on_error: OnError::Deny,
                denial: d,
            },
            header: t,
            narrowed: vec![(s, t), (t, t)],
            resource: vec![Operand::Text(s), Operand::Attr(AttrId(0))],
        }),
        Effect::Restrict(Restrict {
            lists: vec![
                (ListKind::AllowModels, Members::Texts(vec![s, t])),
                (ListKind::DenyModels, Members::Attr(AttrId(0))),
            ],
            max_cost_tier: Some(s),
            custom: vec![(s, t)],
            fallback: true,
            denial: d,
        }),
    ];
    identities(p, s, t);
    for entity in [
        EntityKind::Tool,
        EntityKind::Prompt,
        EntityKind::Resource,
        EntityKind::Llm,
        EntityKind::A2a,
        EntityKind::Http,
    ] {
        p.fallbacks.push(Fallback {
            entity: Some(entity),
            pre: Some(pre),
            post: Some(post),
            identities: vec![],
            assertions: None,
        });
        p.routes.push(route(entity, Matcher::Any, None, None));
    }
    p.fallbacks.push(Fallback {
        entity: None,
        pre: None,
        post: None,
        identities: vec![IdentityId(2)],
        assertions: None,
    });
    let (name, variable, pattern) = (
        text(p, "x-user"),
        text(p, "UPSTREAM_KEY"),
        text(p, "x-internal-*"),
    );
    let key = text(p, "roles");
    let header = |source, encoding, required| Assertion {
        name,
        source,
        encoding,
        required,
    };
    p.assertions.push(Assertions {
        request: Contract {
            headers: vec![
                header(HeaderSource::Attr(AttrId(0)), Encoding::Plain, true),
                header(HeaderSource::Attr(AttrId(0)), Encoding::Csv, false),
                header(HeaderSource::Variable(variable), Encoding::Plain, false),
            ],
            strip: vec![pattern],
        },
        response: Contract {
            headers: vec![header(
                HeaderSource::Members(vec![(key, AttrId(0))]),
                Encoding::Json,
                false,
            )],
            strip: vec![],
        },
    });
    let (path, method) = (text(p, "/api"), text(p, "GET"));
    p.routes.push(Route {
        assertions: Some(AssertionsId(0)),
        tags: vec![name],
        properties: vec![(key, pattern)],
        ..route(
            EntityKind::Http,
            Matcher::Http {
                path,
                prefix: true,
                methods: vec![method],
            },
            None,
            None,
        )
    });
    p.routes.push(Route {
        scope: Some(s),
        identities: vec![IdentityId(0), IdentityId(1)],
        response: Some(Response {
            status: 451,
            body: Some(s),
            headers: vec![(s, t)],
        }),
        pass_unparseable: true,
        enforcement: Enforcement::Shadow(1_800_000_000),
        owner: Some(t),
        ..route(EntityKind::Http, Matcher::Glob(s), Some(pre), Some(post))
    });
    let (early, late) = (text(p, "a"), text(p, "b"));
    p.pins = vec![
        Pins {
            scope: None,
            hides_unpinned: false,
            tools: vec![],
        },
        Pins {
            scope: Some(s),
            hides_unpinned: true,
            tools: [(early, [7; 32]), (late, [0xfe; 32])]
                .map(|(name, digest)| Pin { name, digest })
                .into(),
        },
    ];
    p.public_paths = Some(vec![path]);
    p.challenges = vec![Challenge {
        route: 1,
        scopes: vec![s, t],
        annotates: true,
    }];
    p.settings = Settings {
        unmatched: Unmatched::Allow,
        never_forward_credentials: true,
        enforcement: Enforcement::Shadow(0),
        response: None,
        delivery: Delivery::Durable,
        capture: true,
    };
    let span = |line| Span {
        file: 0,
        line,
        column: 3,
        length: 9,
    };
    p.debug = Some(Debug {
        files: vec!["policy.yaml".into()],
        compiler: "test".into(),
        spans: vec![
            (Position::Instr(0, 1), span(4)),
            (Position::Instr(4, 0), span(5)),
            (Position::Pipeline(1), span(6)),
            (Position::Route(6), span(7)),
        ],
    });
    p.data = r#"{"bans":{"eve":true},"limit":3}"#.into();
    std::mem::take(p)
}

/// Numbers at the ends of their ranges.
fn extremes() -> Program {
    Program {
        strings: vec![String::new(), "x".repeat(300)],
        consts: vec![
            Const::Int(i64::MIN),
            Const::Int(i64::MAX),
            Const::Int(0),
            Const::Uint(u64::MAX),
            Const::Uint(0),
            Const::Float(f64::MIN_POSITIVE),
            Const::Float(f64::INFINITY),
            Const::Float(-0.0),
        ],
        regexes: vec![Regex {
            pattern: StrId(0),
            dfa: vec![7; 1_000],
        }],
        ..Program::default()
    }
}

/// Jumps that meet, and one to the end.
pub(crate) fn jumps() -> Program {
    let mut p = Program::default();
    let x = attr(&mut p, "subject.x");
    let d = step(&mut p, "global", 0, None, None);
    let code = vec![
        Instr::Truth(x),
        Instr::SkipUnless(5, d),
        Instr::Exists(x),
        Instr::Decide(6),
        Instr::Deny(d),
        Instr::Jump(8),
        Instr::Truth(x),
        Instr::DenyIf(d),
    ];
    let pre = steps(&mut p, code);
    p.routes
        .push(route(EntityKind::Tool, Matcher::Any, Some(pre), None));
    p
}

/// Every kind of credential, and every claim rule.
fn identities(p: &mut Program, s: StrId, t: StrId) {
    let sources = [
        CredentialSource::Token {
            header: t,
            prefix: Some(s),
            issuers: vec![Issuer {
                issuer: s,
                audiences: vec![],
                algorithms: Algorithm::ALL.to_vec(),
                leeway_s: 0,
                jwks: Some(t),
            }],
        },
        CredentialSource::Metadata {
            namespace: s,
            key: t,
            issuers: vec![MeshIssuer {
                issuer: s,
                audiences: vec![t],
                leeway_s: 60,
            }],
        },
        CredentialSource::Peer { waypoint: true },
        CredentialSource::ApiKey {
            header: s,
            prefix: None,
            directory: t,
            ttl_s: 60,
            unknown_ttl_s: 30,
            enforce_expiry: true,
        },
    ];
    let fields = [
        ClaimField::Id,
        ClaimField::Name,
        ClaimField::Roles,
        ClaimField::Permissions,
        ClaimField::Teams,
        ClaimField::Scopes,
        ClaimField::Audiences,
        ClaimField::Selectors,
        ClaimField::ClientId,
    ];
    let rules: Vec<ClaimRule> = fields
        .into_iter()
        .map(|field| ClaimRule {
            field,
            paths: [ClaimShape::Any, ClaimShape::List, ClaimShape::Text]
                .map(|shape| ClaimPath {
                    segs: vec![s, t],
                    shape,
                    stop: true,
                })
                .into(),
            union: true,
            split: true,
            required: true,
        })
        .collect();
    let roles = [
        TokenRole::User,
        TokenRole::Client,
        TokenRole::CallerWorkload,
        TokenRole::User,
    ];
    for (role, source) in roles.into_iter().zip(sources) {
        p.identities.push(Identity {
            name: s,
            role,
            source,
            trust_domains: vec![t],
            claim_map: ClaimMap {
                rules: rules.clone(),
                hidden: vec![s],
            },
        });
    }
}
