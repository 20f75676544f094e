// A session of WHIP or WHEP: one peer connection, from the offer to the good-bye.

const hash = new URLSearchParams(location.hash.slice(1));

// The token stays behind the # of the address: no browser sends that to anybody.
export function headers(more = {}) {
  const token = hash.get('token');
  return token ? { Authorization: `Bearer ${token}`, ...more } : more;
}

export function keepToken(href) { return location.hash ? href + location.hash : href; }

// streams lists what can be watched; null if the door does not say.
export async function streams() {
  try {
    const r = await fetch('/door/streams', { headers: headers() });
    return r.ok ? await r.json() : null;
  } catch {
    return null;
  }
}

export class Refusal extends Error {
  constructor(status, detail, retry) {
    super(detail);
    this.status = status;
    this.retry = retry;
  }
}

async function refusal(r) {
  let detail = `${r.status} ${r.statusText}`;
  try { detail = (await r.json()).detail || detail; } catch { /* not a problem document */ }
  return new Refusal(r.status, detail, Number(r.headers.get('Retry-After')) || 2);
}

// How long a connection may be interrupted before ICE is restarted.
const patience = 2000;

export class Session {
  #url; #etag; #waiting = []; #answer; #timer; #ended = false; #over = new AbortController();

  constructor(pc, endpoint) {
    this.pc = pc;
    this.endpoint = endpoint;
    this.onend = () => {};
  }

  // start connects; a Refusal says why it does not.
  async start() {
    const { pc } = this;
    pc.addEventListener('icecandidate', e => this.#candidate(e.candidate));
    pc.addEventListener('connectionstatechange', () => this.#changed());
    await pc.setLocalDescription(await pc.createOffer());
    const r = await fetch(this.endpoint, {
      method: 'POST', headers: headers({ 'Content-Type': 'application/sdp' }), body: pc.localDescription.sdp,
    });
    if (r.status !== 201) throw await refusal(r);
    this.#url = new URL(r.headers.get('Location'), r.url).href;
    this.#etag = r.headers.get('ETag');
    this.#answer = await r.text();
    if (this.#ended) return this.#bye();
    useServers(pc, r.headers.get('Link'));
    await pc.setRemoteDescription({ type: 'answer', sdp: this.#answer });
    this.#trickle();
  }

  // layers tells, now and whenever that changes, which rids of a simulcast are watched.
  async layers(heed) {
    for (let tag = ''; !this.#ended;) {
      try {
        const r = await fetch(`${this.#url}/layers`, { headers: headers(tag ? { 'If-None-Match': tag } : {}), signal: this.#over.signal });
        if (r.status === 204 || r.status === 404) return;
        if (r.status === 200) {
          tag = r.headers.get('ETag');
          heed(await r.json());
        } else if (r.status !== 304) throw await refusal(r);
      } catch {
        if (!this.#ended) await new Promise(done => setTimeout(done, patience));
      }
    }
  }

  // end says good-bye. It may be called at any time, also while the page goes away.
  end() {
    if (this.#ended) return;
    this.#ended = true;
    this.#over.abort();
    clearTimeout(this.#timer);
    if (this.#url) this.#bye();
    else this.pc.close();
  }

  #bye() {
    fetch(this.#url, { method: 'DELETE', headers: headers(), keepalive: true }).catch(() => {}).finally(() => this.pc.close());
  }

  #candidate(c) {
    if (!c || !c.candidate) return;
    this.#waiting.push(c);
    if (this.#url) this.#trickle();
  }

  #trickle() {
    if (this.#waiting.length === 0 || this.#ended) return;
    const list = this.#waiting.splice(0);
    fetch(this.#url, {
      method: 'PATCH', body: fragment(this.pc.localDescription.sdp, list),
      headers: headers({ 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': this.#etag }),
    }).catch(() => {});
  }

  #changed() {
    const state = this.pc.connectionState;
    clearTimeout(this.#timer);
    if (this.#ended || state === 'connected') return;
    if (state === 'disconnected') this.#timer = setTimeout(() => this.#restart(), patience);
    if (state === 'failed') this.#restart();
  }

  // restart looks for another path, for instance in another network. The media go
  // on where they were.
  async #restart() {
    const { pc } = this;
    try {
      await pc.setLocalDescription(await pc.createOffer({ iceRestart: true }));
      const r = await fetch(this.#url, {
        method: 'PATCH', body: fragment(pc.localDescription.sdp, []),
        headers: headers({ 'Content-Type': 'application/trickle-ice-sdpfrag', 'If-Match': '*' }),
      });
      if (!r.ok) throw await refusal(r);
      this.#etag = r.headers.get('ETag');
      this.#answer = graft(this.#answer, await r.text());
      await pc.setRemoteDescription({ type: 'answer', sdp: this.#answer });
      this.#timer = setTimeout(() => this.#lost(), 4 * patience);
    } catch (e) {
      if (e instanceof Refusal || pc.connectionState === 'closed') this.#lost();
      else this.#timer = setTimeout(() => this.#restart(), patience); // no network yet
    }
  }

  #lost() {
    if (this.#ended || this.pc.connectionState === 'connected') return;
    this.end();
    this.onend();
  }
}

// tellCaptureTimes has packets say when what is in them was captured.
export function tellCaptureTimes(transceiver) {
  const all = transceiver.getHeaderExtensionsToNegotiate?.();
  const own = all?.find(e => e.uri.endsWith('/abs-capture-time'));
  if (!own) return; // sender reports say so now and then
  own.direction = 'sendrecv';
  transceiver.setHeaderExtensionsToNegotiate(all);
}

// useServers adds the STUN and TURN servers that a Link header names.
function useServers(pc, link) {
  const servers = [];
  for (const m of (link || '').matchAll(/<([^>]*)>([^,]*(?:"[^"]*"[^,"]*)*)/g)) {
    const p = Object.fromEntries([...m[2].matchAll(/([\w-]+)="((?:[^"\\]|\\.)*)"/g)].map(x => [x[1], x[2].replace(/\\(.)/g, '$1')]));
    if (p.rel === 'ice-server') servers.push({ urls: m[1], username: p.username, credential: p.credential });
  }
  if (servers.length > 0) pc.setConfiguration({ ...pc.getConfiguration(), iceServers: servers });
}

function lines(sdp, prefix) { return sdp.split(/\r?\n/).filter(l => l.startsWith(prefix)); }

// fragment is the body of a PATCH (RFC 8840).
function fragment(sdp, candidates) {
  const out = [lines(sdp, 'a=ice-ufrag:')[0], lines(sdp, 'a=ice-pwd:')[0], lines(sdp, 'm=')[0], lines(sdp, 'a=mid:')[0]];
  for (const c of candidates.length ? candidates.map(x => 'a=' + x.candidate) : lines(sdp, 'a=candidate:')) out.push(c);
  return out.join('\r\n') + '\r\n';
}

// graft puts the credentials and candidates of a fragment into a description.
function graft(sdp, frag) {
  const [ufrag] = lines(frag, 'a=ice-ufrag:'), [pwd] = lines(frag, 'a=ice-pwd:');
  const candidates = lines(frag, 'a=candidate:');
  return sdp.split(/\r?\n/).flatMap(l => {
    if (l.startsWith('a=candidate:') || l.startsWith('a=end-of-candidates')) return [];
    if (l.startsWith('a=ice-ufrag:')) return [ufrag];
    if (l.startsWith('a=ice-pwd:')) return [pwd, ...candidates];
    return [l];
  }).join('\r\n');
}
