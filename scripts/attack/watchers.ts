import { sha256 } from '../lib/image.ts'
import { type AttackCase, atMost, longestLivez } from './case.ts'
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
    const what = `the longest /livez while ${STREAMS} streams read ${PUSHES * TAGS} changes`
    return [atMost(what, '4,333', longest, 'ms', 500)]
  },
}

async function makeEvents({ checker }: Target): Promise<void> {
  await pushImage(checker, `${CHECKER}/app`)
  const tags = Array.from({ length: TAGS }, (_, at) => `tag=t${at}`).join('&')
  for (let count = 0; count < PUSHES; count++)
    await checker.putManifest(`${CHECKER}/app`, `${sha256(MANIFEST)}?${tags}`, MANIFEST)
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
