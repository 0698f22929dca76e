import { requestLoad } from '../bench/lib/request-load.ts'
import { sha256 } from '../lib/image.ts'
import { imageManifest, manifestMediaType } from '../lib/registry.ts'
import { type AttackCase, longestLivez } from './case.ts'
import { ATTACKER, CHECKER, CONFIG, LAYER, MANIFEST, PASSWORD, pushImage, type Target } from './target.ts'

const REPOSITORY = `${ATTACKER}/large`
const as = `${ATTACKER}:${PASSWORD}`
const SECONDS = 4

export const INDEX_TYPE = 'application/vnd.oci.image.index.v1+json'

/** Much more than the server holds a request up for: the client and whatever else runs take the processors, too. */
const LIVEZ_MILLISECONDS_MAX = 300

/** A manifest with as many annotations as there can be, shown again and again by the admin API. */
export const describing: AttackCase = {
  name: 'describing',
  async run(target) {
    const manifest = largeManifest()
    await pushImage(target, REPOSITORY, 'base', as)
    const headers = { 'content-type': manifestMediaType }
    const pushing = await longestLivez(target, async () => {
      await target.ask('PUT', `/v2/${REPOSITORY}/manifests/large`, { as, headers, body: manifest })
    })
    const path = `/api/v1/repositories/${encodeURIComponent(REPOSITORY)}/manifests/large`
    const beside = await pullsBeside(target, () => target.ask('GET', path, { as }))
    return [
      {
        what: 'pulls of others while a manifest of 4 MB with 49,000 annotations is shown',
        before: '0.8/s (3,679/s alone)',
        now: beside.pulls,
        unit: '/s',
        limit: ['at least', 1000],
      },
      {
        what: 'the longest /livez meanwhile',
        before: '1,300',
        now: beside.livez,
        unit: 'ms',
        limit: ['at most', LIVEZ_MILLISECONDS_MAX],
      },
      {
        what: 'the longest /livez while it is pushed',
        before: 'not measured',
        now: pushing,
        unit: 'ms',
        limit: ['at most', LIVEZ_MILLISECONDS_MAX],
      },
    ]
  },
}

/** Conversions of an image whose config has 1 MB. */
export const conversions: AttackCase = {
  name: 'conversions',
  async run(target) {
    const config = largeConfig()
    await pushImage(target, REPOSITORY, 'base', as)
    await target.ask('POST', `/v2/${REPOSITORY}/blobs/uploads/?digest=${sha256(config)}`, {
      as,
      body: config,
    })
    const described = { digest: sha256(config), size: config.length }
    const layer = { digest: sha256(LAYER), size: LAYER.length }
    const body = new Uint8Array(imageManifest(described, [layer], 'to convert'))
    const headers = { 'content-type': manifestMediaType }
    const tags = Array.from({ length: 24 }, (_, i) => `t${i}`)
    for (const tag of tags)
      await target.ask('PUT', `/v2/${REPOSITORY}/manifests/${tag}`, { as, headers, body })
    const accept = 'application/vnd.docker.distribution.manifest.v1+prettyjws'
    const longest = await longestLivez(target, () =>
      Promise.all(
        tags.map((tag) =>
          target.ask('GET', `/v2/${REPOSITORY}/manifests/${tag}`, { as, headers: { accept } }),
        ),
      ),
    )
    return [
      {
        what: 'the longest /livez while 24 tags of an image with a config of 1 MB are converted',
        before: '2,700',
        now: longest,
        unit: 'ms',
        limit: ['at most', LIVEZ_MILLISECONDS_MAX],
      },
    ]
  },
}

/** Lists of referrers from an index with as many entries as there can be, and their tree. */
export const referrers: AttackCase = {
  name: 'referrers',
  async run(target) {
    await pushImage(target, REPOSITORY, 'latest', as)
    const headers = { 'content-type': INDEX_TYPE }
    const body = largeIndex()
    const subject = sha256(MANIFEST)
    const tag = subject.replace(':', '-')
    const pushed = await target.ask('PUT', `/v2/${REPOSITORY}/manifests/${tag}`, { as, headers, body })
    if (pushed.status !== 201) throw new Error(`the index cannot be pushed: ${pushed.status}`)
    const beside = await pullsBeside(target, async () => {
      await target.ask('GET', `/v2/${REPOSITORY}/referrers/${subject}`, { as })
      const name = encodeURIComponent(REPOSITORY)
      await target.ask('GET', `/api/v1/repositories/${name}/manifests/latest/referrers`, { as })
    })
    return [
      {
        what: 'pulls of others while an index of 12,000 referrers is listed',
        before: '3.5',
        now: beside.pulls,
        unit: '/s',
        limit: ['at least', 1000],
      },
      {
        what: 'the longest /livez meanwhile',
        before: '2,793',
        now: beside.livez,
        unit: 'ms',
        limit: ['at most', LIVEZ_MILLISECONDS_MAX],
      },
    ]
  },
}

/** Indexes with as many entries as there can be, pushed again and again. */
export const largePushes: AttackCase = {
  name: 'large-pushes',
  async run(target) {
    const user = `${CHECKER}:${PASSWORD}`
    // Made first, so that the attack takes nothing of this process.
    const bodies = Array.from({ length: 40 }, (_, at) => new TextEncoder().encode(largeIndex(String(at))))
    const state = { isDone: false }
    const attack = async () => {
      const headers = { 'content-type': INDEX_TYPE }
      while (!state.isDone) {
        const body = bodies.pop() ?? '{}'
        const { status } = await target.ask('PUT', `/v2/${REPOSITORY}/manifests/large`, { as, headers, body })
        if (status === 503) await Bun.sleep(100)
      }
    }
    const attacks = Array.from({ length: 4 }, attack)
    let pushes = 0
    for (const until = performance.now() + SECONDS * 1000; performance.now() < until; pushes++)
      await pushImage(target, `${CHECKER}/app`, 'latest', user)
    state.isDone = true
    await Promise.all(attacks)
    return [
      {
        what: 'pushes of another while indexes of 12,000 entries are pushed',
        before: '0.8/s (109/s alone)',
        now: pushes / SECONDS,
        unit: '/s',
        limit: ['at least', 10],
      },
    ]
  },
}

let digests: string[] | undefined

/** As many entries as an index may have. */
export function largeIndex(note = ''): string {
  const encoder = new TextEncoder()
  digests ??= Array.from({ length: 12_000 }, (_, at) => sha256(encoder.encode(String(at))))
  const manifests = digests.map((digest) => ({ mediaType: INDEX_TYPE, digest, size: 1 }))
  return JSON.stringify({ schemaVersion: 2, mediaType: INDEX_TYPE, manifests, annotations: { note } })
}

/** As many annotations as a manifest may have: with 200,000 it is refused. */
export function largeManifest(): string {
  const annotations = Object.fromEntries(Array.from({ length: 49_000 }, (_, i) => [`k${i}`, 'v'.repeat(60)]))
  const mediaType = 'application/vnd.oci.image.config.v1+json'
  const config = { mediaType, digest: sha256(CONFIG), size: CONFIG.length }
  const manifest = { schemaVersion: 2, mediaType: manifestMediaType, config, layers: [], annotations }
  return JSON.stringify(manifest)
}

/** Almost 1 MB, for an image of one layer. */
export function largeConfig(): Uint8Array<ArrayBuffer> {
  const history = Array.from({ length: 1900 }, (_, i) => ({
    created_by: `RUN ${i} ${'x'.repeat(450)}`,
    empty_layer: i > 0,
  }))
  const rootfs = { type: 'layers', diff_ids: [sha256(LAYER)] }
  return new TextEncoder().encode(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs, history }))
}

/** What a normal user pulls, and how long `/livez` takes, while four connections repeat something. */
async function pullsBeside(target: Target, attack: () => Promise<unknown>) {
  const user = `${CHECKER}:${PASSWORD}`
  await pushImage(target, `${CHECKER}/app`, 'latest', user)
  const state = { isDone: false }
  const repeat = async () => {
    while (!state.isDone) await attack()
  }
  const attacks = Array.from({ length: 4 }, repeat)
  let pulls = 0
  const livez = await longestLivez(target, async () => {
    const load = await requestLoad({
      port: Number(new URL(target.url).port),
      method: 'GET',
      path: `/v2/${CHECKER}/app/manifests/latest`,
      authorization: `Basic ${btoa(user)}`,
      connections: 8,
      seconds: SECONDS,
    })
    pulls = load.requestsPerSecond
  })
  state.isDone = true
  await Promise.all(attacks)
  return { pulls, livez }
}
