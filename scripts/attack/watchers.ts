import { sha256 } from '../lib/image.ts'
import { manifestMediaType } from '../lib/registry.ts'
import { type AttackCase, longestLivez } from './case.ts'
import { ATTACKER, CHECKER, MANIFEST, PASSWORD, pushImage, type Target } from './target.ts'

const STREAMS = 20
const SECONDS = 4
const PUSHES = 300
const TAGS = 100

/** Streams of all changes since the first one, none of which the watcher may see. */
export const watchers: AttackCase = {
  name: 'watchers',
  async run(target) {
    await makeEvents(target)
    const longest = await longestLivez(target, () =>
      Promise.all(Array.from({ length: STREAMS }, () => watch(target))),
    )
    return [
      {
        what: `the longest /livez while ${STREAMS} streams read ${PUSHES * TAGS} changes`,
        before: '4,333',
        now: longest,
        unit: 'ms',
        limit: ['at most', 500],
      },
    ]
  },
}

async function makeEvents(target: Target): Promise<void> {
  const as = `${CHECKER}:${PASSWORD}`
  await pushImage(target, `${CHECKER}/app`, 'latest', as)
  const tags = Array.from({ length: TAGS }, (_, at) => `tag=t${at}`).join('&')
  const path = `/v2/${CHECKER}/app/manifests/${sha256(MANIFEST)}?${tags}`
  const headers = { 'content-type': manifestMediaType }
  for (let count = 0; count < PUSHES; count++) await target.ask('PUT', path, { as, headers, body: MANIFEST })
}

async function watch({ url }: Target): Promise<void> {
  const response = await fetch(`${url}/api/v1/events/watch?after=1`, {
    headers: { authorization: `Basic ${btoa(`${ATTACKER}:${PASSWORD}`)}` },
    signal: AbortSignal.timeout(SECONDS * 1000),
  })
  if (response.status !== 200) throw new Error(`the changes cannot be watched: ${response.status}`)
  // The stream ends by the timeout only.
  await response.arrayBuffer().catch(() => {})
}
