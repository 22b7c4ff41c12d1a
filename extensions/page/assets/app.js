// The page: a view for each #/name, built from what /api answers. Everything that comes from there becomes text, never markup.
'use strict';

const main = document.getElementById('main');
const ranks = { critical: 5, high: 4, medium: 3, low: 2, informational: 1 };

// What cannot be seen, or turns the order of what can (a name that reads backwards), is shown by its number.
const unseen = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb]|[\u{e0000}-\u{e01ef}]/gu;
const visible = s => String(s).replace(unseen, c => '\\u{' + c.codePointAt(0).toString(16) + '}');

// el makes an element: attributes, then children, which are elements or texts.
function el(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attributes || {})) {
    if (k.startsWith('on')) e.addEventListener(k.slice(2), v);
    else if (v !== undefined && v !== false) e.setAttribute(k, v === true ? '' : v);
  }
  e.append(...children.flat(Infinity).filter(c => c !== null && c !== undefined).map(c => (c instanceof Node ? c : visible(c))));
  return e;
}

async function ask(name, parameters) {
  const url = '/api/' + name + '?' + new URLSearchParams(parameters || {});
  let r;
  try { r = await fetch(url, { credentials: 'same-origin', signal: AbortSignal.timeout(20000) }); } catch { throw new Error('mcpsiem does not answer; is it running?'); }
  if (!r.ok) throw new Error((await r.text()).trim() || r.statusText);
  return r.json();
}

// --- how values look

const number = new Intl.NumberFormat();
const time = t => (t ? new Date(t.includes('T') ? t : t.replace(' ', 'T') + 'Z').toLocaleString() : '');
const badge = s => el('span', { class: 'badge ' + (s in ranks ? s : '') }, s);
const outcome = s => el('span', { class: s === 'ok' ? 'ok' : s ? 'failed' : '' }, s || '-');
const list = a => (a || []).join(', ');
const link = (href, text) => el('a', { href }, text);
const who = r => (r.principal ? r.principal + (r.verified === false ? ' (claimed)' : '') : 'unknown');

// A column: heading, value of a row, class of the cell.
const col = (head, of, kind) => ({ head, of, kind });
const num = (head, of) => col(head, r => number.format(of(r) ?? 0), 'number');

// The server sends one row more than a page shows where there are more.
const most = 300;

function table(caption, columns, rows, fresh) {
  if (rows.length > most) { caption += ': the first ' + most + ', there are more (mcpsiem inventory and mcpsiem query have all)'; rows = rows.slice(0, most); }
  if (!rows.length) return el('p', { class: 'nothing' }, caption + ': nothing.');
  return el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': visible(caption) }, el('table', {},
    el('caption', {}, caption),
    el('thead', {}, el('tr', {}, columns.map(c => el('th', { scope: 'col', class: c.kind === 'number' ? 'number' : undefined }, c.head)))),
    el('tbody', {}, rows.map(r => el('tr', { class: fresh && fresh(r) ? 'fresh' : undefined }, columns.map(c => el('td', { class: c.kind }, c.of(r))))))));
}

const callColumns = [
  col('Time', r => link('#/event/' + r.id, time(r.time)), 'time'),
  col('Who', who), col('Server', r => r.server), col('Method', r => r.method), col('Tool', r => r.tool),
  col('Outcome', r => outcome(r.outcome)), num('ms', r => r.ms), num('Tokens', r => r.tokens),
  col('Data', r => list(r.classes)), col('Signals', r => list(r.signals)),
];

const findingColumns = [
  col('Severity', r => badge(r.severity)),
  col('What happened', r => link('#/finding/' + r.id, r.summary || r.title), 'text'),
  col('Status', r => r.status), col('Time', r => time(r.time), 'time'), col('Rule', r => r.rule),
  col('Who', r => r.principal || 'unknown'), col('Server', r => r.server), col('Tool', r => r.tool),
];

function facts(pairs) {
  return el('dl', {}, pairs.filter(([, v]) => v !== '' && v !== null && v !== undefined).map(([k, v]) => [el('dt', {}, k), el('dd', {}, v)]));
}

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

// choose is a form of a view; its values are in the address, so that a view can be linked to.
function choose(view, current, controls) {
  const go = e => {
    e && e.preventDefault();
    const values = Object.fromEntries([...new FormData(form)].filter(([, v]) => v !== ''));
    location.hash = '#/' + view + '?' + new URLSearchParams(values);
  };
  const form = el('form', { class: 'choose', onsubmit: go, onchange: go }, controls.map(c => el('label', {}, c.label + ' ', c.options
    ? el('select', { name: c.name }, c.options.map(([v, t]) => el('option', { value: v, selected: String(current[c.name] ?? c.standard) === v }, t)))
    : el('input', { name: c.name, type: 'search', value: current[c.name] || '', placeholder: c.placeholder || '' }))));
  return form;
}

const hours = { name: 'hours', label: 'Since', standard: '24', options: [['1', 'an hour'], ['24', 'a day'], ['168', 'a week'], ['720', '30 days']] };

// A list that goes on over pages: what of it this one is, and the way to the others, in the address as the choice is.
const skipped = q => Number(q.skip) || 0;
const counted = (rows, q, what, order) => {
  const from = skipped(q), n = Math.min(rows.length, most);
  return (!from && rows.length <= most ? number.format(n) + ' ' + what : number.format(from + 1) + ' to ' + number.format(from + n) + ' of ' + (rows.length > most ? 'more ' : number.format(from + n) + ' ') + what) + ', ' + order;
};
function pages(view, q, rows) {
  const to = (skip, text) => link('#/' + view + '?' + new URLSearchParams({ ...q, skip: String(skip) }), text);
  const from = skipped(q);
  return !from && rows.length <= most ? null : el('p', {}, from ? to(Math.max(from - most, 0), 'The ' + most + ' before') : null, ' ', rows.length > most ? to(from + most, 'The next ' + most) : null);
}
const chosen = q => q.find || q.rank > 0;

const find = { name: 'find', label: 'Find', placeholder: 'server, tool, who' };

// --- views: each returns what to show, and may name a function that is called every few seconds while it is shown

const views = {
  async findings(q) {
    const d = await ask('findings', q);
    return { title: 'Findings', body: [
      choose('findings', q, [
        { name: 'rank', label: 'Severity', standard: '0', options: [['0', 'all'], ['2', 'low and worse'], ['3', 'medium and worse'], ['4', 'high and worse'], ['5', 'critical']] },
        { name: 'closed', label: 'Show', standard: '0', options: [['0', 'open'], ['1', 'open and closed']] }, find]),
      d.findings.length ? [table(counted(d.findings, q, 'findings', 'the worst first'), findingColumns, d.findings.slice(0, most)), pages('findings', q, d.findings)]
        : skipped(q) ? [el('p', { class: 'nothing' }, 'No findings from here on.'), pages('findings', q, d.findings)]
        : el('p', { class: 'nothing' }, chosen(q) ? 'No finding matches.' : 'No findings' + (q.closed === '1' ? '' : ' are open') + '. To see one, run make demo, or look at the calls.'),
    ], again: 10 };
  },

  async finding(q, id) {
    const d = await ask('finding', { id });
    const f = d.finding[0];
    if (!f) return { title: 'Finding', body: [el('p', { class: 'nothing' }, 'There is no finding ' + id + '.')] };
    const events = new Map(d.events.map(e => [e.id, e]));
    const why = Object.entries(f.why || {});
    return { title: f.title, body: [
      el('p', {}, badge(f.severity), ' ', f.status, f.triaged_by ? ' by ' + f.triaged_by : ''),
      el('p', {}, f.summary),
      facts([['Who', f.principal || 'unknown'], ['Server', f.server], ['Tool', f.tool], ['Tenant', f.tenant], ['Conversation', f.conversation], ['Raised', time(f.time)],
        ['Evidence from', time(f.first) + (f.last !== f.first ? ' to ' + time(f.last) : '')], ['Rule', f.rule + ' ' + f.rule_version], ['Confidence', Math.round(f.confidence * 100) + ' %'],
        ['Alike', f.group_findings > 1 ? f.group_findings + ' findings about the same thing, ' + f.group_open + ' open' : ''], ['Note', f.note]]),
      el('h3', {}, 'The chain'),
      el('ol', { class: 'chain' }, (f.event_ids.length ? f.event_ids : f.evidence).map((x, i) => {
        const e = f.event_ids.length ? events.get(x) : null;
        return el('li', {}, f.evidence[i] ? el('div', {}, f.evidence[i]) : null,
          e ? el('div', {}, link('#/event/' + e.id, time(e.time)), ' ', [who(e), e.server, e.method, e.tool].filter(Boolean).join(' · '), ' ', e.kind === 'request' ? el('span', { class: 'soft' }, 'request') : outcome(e.outcome))
            : f.event_ids.length ? el('div', { class: 'soft' }, 'event ' + x + ' is not in the store') : null,
          e ? el('details', {}, el('summary', {}, 'Message, redacted'), el('pre', {}, pretty(e.body))) : null);
      })),
      f.evidence.length > f.event_ids.length && f.event_ids.length ? el('ul', {}, f.evidence.slice(f.event_ids.length).map(x => el('li', {}, x))) : null,
      why.length ? [el('h3', {}, 'Why it fired'), facts(why)] : null,
      el('h3', {}, 'What to do'), el('p', {}, f.remediation),
      f.false_positives ? [el('h3', {}, 'When it is harmless'), el('p', {}, f.false_positives)] : null,
      f.references.length ? [el('h3', {}, 'Refers to'), el('ul', {}, f.references.map(r => el('li', {}, r)))] : null,
      el('h3', {}, 'Triage'),
      table('What was done', [col('Time', r => time(r.time), 'time'), col('Status', r => r.status), col('By', r => r.by), col('Note', r => r.note)], d.history),
      el('p', {}, 'In a terminal:'), el('pre', {}, ['ack', 'resolve', 'false-positive'].map(v => 'mcpsiem findings ' + v + ' ' + f.id + " --note '…'").join('\n')),
    ] };
  },

  async calls(q) {
    const d = await ask('calls', q);
    let rows = d.calls;
    const place = el('div', {});
    const draw = fresh => place.replaceChildren(...[rows.length ? table(counted(rows, q, 'calls', 'the newest first'), callColumns, rows.slice(0, most), fresh)
      : skipped(q) ? el('p', { class: 'nothing' }, 'No calls from here on.')
      : el('p', { class: 'nothing' }, chosen(q) ? 'No call matches.' : 'No calls in this time. Put a tap on a server: mcptap stdio --name files -- npx -y @modelcontextprotocol/server-filesystem ~'), pages('calls', q, rows)].filter(Boolean));
    draw();
    let asked = Date.now();
    const body = [choose('calls', q, [hours, find]), place];
    return skipped(q) ? { title: 'Calls', body } : { title: 'Calls', body, again: 2, async live() {
      if (Date.now() - asked > 50 * 60e3) return show(true); // it asks for the last hour
      const seen = new Set(rows.map(r => r.id));
      const newest = rows.length ? rows[0].ns : 0;
      const d = await ask('live', { after: String(Math.max(newest - 5e9, 0)), ...(q.find ? { find: q.find } : {}) });
      asked = Date.now();
      const more = d.calls.filter(r => !seen.has(r.id));
      if (more.length >= 100 && more.length === d.calls.length) return show(true); // as many as it sends, and none that was here: some may lie between
      if (more.length) {
        rows = [...more, ...rows].sort((a, b) => b.ns - a.ns).slice(0, most + 1);
        const ids = new Set(more.map(r => r.id));
        draw(r => ids.has(r.id));
      }
      showOpen(d.open);
    } };
  },

  async event(q, id) {
    const d = await ask('event', { id });
    const e = d.event[0];
    if (!e) return { title: 'Event', body: [el('p', { class: 'nothing' }, 'There is no event ' + id + ' in the store.')] };
    const fields = Object.entries(JSON.parse(e.fields)).filter(([, v]) => v && v !== '00000000-0000-0000-0000-000000000000' && JSON.stringify(v) !== '[]' && JSON.stringify(v) !== '{}');
    return { title: 'Event', body: [
      el('h3', {}, 'Message, redacted'), e.body ? el('pre', {}, pretty(e.body)) : el('p', { class: 'nothing' }, 'No content was captured.'),
      table('The exchange', [...callColumns.slice(0, 1), col('Kind', r => r.kind), ...callColumns.slice(1)], d.exchange),
      d.findings.length ? table('Findings that it is evidence of', findingColumns, d.findings) : null,
      el('h3', {}, 'Every field'), facts(fields.map(([k, v]) => [k, typeof v === 'object' ? JSON.stringify(v) : String(v)])),
    ] };
  },

  async inventory(q) {
    const d = await ask('inventory', q);
    return { title: 'Servers and tools', body: [
      choose('inventory', q, [hours]),
      table('Servers', [col('Server', r => r.server), col('Calls itself', r => list(r.claimed)), col('Transport', r => list(r.transports)), col('Hosts', r => list(r.hosts)), num('Tools', r => r.tools),
        num('Definition tokens', r => r.tokens), num('Calls', r => r.calls), num('Failed', r => r.failed), num('Principals', r => r.principals), col('First seen', r => time(r.first), 'time')], d.servers),
      el('h3', {}, 'Tools'),
      table('More than one version is drift', [col('Server', r => r.server), col('Tool', r => r.tool), col('Can', r => list(r.capabilities)), num('Versions', r => r.versions), num('Tokens', r => r.tokens),
        num('Calls', r => r.calls), num('Failed', r => r.failed), col('Never used', r => (r.unused ? 'yes' : '')), col('First seen', r => time(r.first), 'time')], d.tools),
    ] };
  },

  async cost(q) {
    const d = await ask('cost', q);
    const money = r => (r.cost ? r.cost + ' ' + (r.currency || '') : '-');
    return { title: 'Cost', body: [
      choose('cost', q, [hours]),
      el('p', { class: 'soft' }, 'Tokens are counted exactly; money is an estimate by the price list, unless the provider reports it.'),
      table('By principal', [col('Who', r => r.principal || 'unknown'), col('Team', r => r.team), col('Cost', money, 'number'), num('Tokens', r => r.tokens)], d.principals),
      el('h3', {}, 'Tools'),
      table('By tool', [col('Server', r => r.server), col('Tool', r => r.tool), col('Cost', money, 'number'), num('Tokens', r => r.tokens), num('Calls', r => r.calls)], d.tools),
      el('h3', {}, 'Definitions'),
      table('What a server puts into the context before the first word', [col('Server', r => r.server), num('Tokens', r => r.tokens), num('Lists', r => r.lists)], d.definitions),
    ] };
  },

  async health(q) {
    const d = await ask('health', q);
    return { title: 'Health', body: [
      table('Received = stored + dead-lettered', [col('Stream', r => r.stream), col('Sink', r => r.sink), num('Received', r => r.received), num('Stored', r => r.stored), num('Dead-lettered', r => r.dead_lettered), num('Difference', r => r.difference)], d.accounts),
      el('h3', {}, 'Consumers'),
      table('As observed last', [col('Stream', r => r.stream), col('Consumer', r => r.consumer), num('Waiting', r => r.waiting), num('Under way', r => r.under_way), num('Seconds behind', r => r.behind_s), col('Observed', r => time(r.observed), 'time')], d.consumers),
      el('h3', {}, 'Taps'),
      table('Heard in the last day', [col('Tap', r => r.tap), col('Server', r => r.server), num('Events', r => r.events), num('Lost', r => r.lost), num('Seconds silent', r => r.silent_s)], d.taps),
      el('h3', {}, 'Dead letters'),
      table('What was given up', [col('Sink', r => r.sink), col('Stream', r => r.stream), col('Reason', r => r.reason), num('Records', r => r.records)], d.dead),
      el('h3', {}, 'Seals'),
      table('Merkle logs', [col('Tenant', r => r.tenant), num('Sealed', r => r.sealed), col('Checkpoint signed', r => time(r.signed), 'time')], d.seals),
    ], again: 10 };
  },
};

// --- moving between views

let shown = 0; // counts views, so that a late answer for an earlier one is dropped
let timer;

// showOpen without counts says that they are not known: an old "No open findings" would be a lie.
function showOpen(open) {
  if (!open) return document.getElementById('open').replaceChildren('Open findings: not known');
  const n = Object.fromEntries(open.map(r => [r.severity, r.n]));
  const total = Object.values(n).reduce((a, b) => a + b, 0);
  document.getElementById('open').replaceChildren(total ? el('span', {}, total + ' open: ', Object.keys(ranks).filter(s => n[s]).map((s, i) => [i ? ', ' : '', el('span', { class: 'badge ' + s }, n[s] + ' ' + s)])) : 'No open findings');
}

function say(text) { document.getElementById('state').textContent = text; }

async function show(keepPlace) {
  const mine = ++shown;
  clearTimeout(timer);
  const [path, query] = (location.hash.slice(2) || 'findings').split('?');
  const [name, id] = path.split('/');
  const view = views[name] ? name : 'findings';
  for (const a of document.querySelectorAll('nav a')) {
    if (a.getAttribute('href') === '#/' + view) a.setAttribute('aria-current', 'page'); else a.removeAttribute('aria-current');
  }
  let v;
  try {
    const q = Object.fromEntries(new URLSearchParams(query || ''));
    if (!keepPlace) say('Asking…');
    v = await views[view](q, id);
    if (mine !== shown) return;
    main.replaceChildren(el('h2', {}, v.title), ...v.body.flat(3).filter(Boolean));
    document.title = v.title + ' - mcpsiem';
    say('As of ' + new Date().toLocaleTimeString());
    if (!keepPlace) { main.focus({ preventScroll: true }); window.scrollTo(0, 0); }
    const open = async () => showOpen((await ask('summary')).open);
    open().catch(() => mine === shown && showOpen());
    if (!v.again) Object.assign(v, { again: 10, live: open, asOf: 'As of ' + new Date().toLocaleTimeString() }); // what is shown stays; what is open does not
  } catch (e) {
    if (mine !== shown) return;
    say('Not up to date: ' + e.message);
    showOpen();
    if (!keepPlace) main.replaceChildren(el('p', { class: 'failed', role: 'alert' }, e.message));
    v = { again: 5 };
  }
  const again = async () => {
    if (mine !== shown) return;
    if (document.hidden || main.contains(document.activeElement) && document.activeElement !== main && !v.live) { timer = setTimeout(again, 1000); return; } // nothing moves under the reader's hands
    if (!v.live) return show(true);
    try { await v.live(); if (mine === shown) say(v.asOf || 'Live, as of ' + new Date().toLocaleTimeString()); } catch (e) { if (mine === shown) { say('Not up to date: ' + e.message); showOpen(); } }
    if (mine === shown) timer = setTimeout(again, v.again * 1000);
  };
  if (v.again) timer = setTimeout(again, v.again * 1000);
}

window.addEventListener('hashchange', () => show());
show();
