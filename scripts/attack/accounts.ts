import { sha256 } from '../lib/image.ts'
import { type AttackCase, atLeast, atMost, millisecondsOf, pullsBeside } from './case.ts'
import { ATTACKER, CHECKER, clientOf, LAYER, PASSWORD, pushImage, type Target } from './target.ts'

/** Where the server admin has signed in from; the guesses come from elsewhere. */
const HOME = '198.51.100.1'

const GRANTS = 4000

/** A user makes thousands of grants, then grants in a loop. */
export const grants: AttackCase = {
  name: 'grants',
  async run(target) {
    const { attacker, checker } = target
    const put = (pattern: string) =>
      attacker.send('PUT', '/api/v1/grants', { json: { subject: CHECKER, pattern, role: 'reader' } })
    let made = 0
    for (let at = 0; at < GRANTS; at += 8) {
      const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => put(`${ATTACKER}/p${at + i}/**`)))
      made += answers.filter(({ status }) => status < 300).length
    }
    await pushImage(checker, `${CHECKER}/app`)
    const mount = `/v2/${CHECKER}/other/blobs/uploads/?mount=${sha256(LAYER)}`
    const catalog = await millisecondsOf(() => checker.send('GET', '/v2/_catalog'))
    const mounted = await millisecondsOf(() => checker.send('POST', mount))
    const attack = () => put(`${ATTACKER}/p1/**`)
    const { pulls } = await pullsBeside(target, attack, { clients: 2, seconds: 3 })
    const what = "another's pulls with a password while grants are made in a loop"
    return [
      atMost('grants that one user made in one namespace', 'any number', made, '', 1000),
      atMost("another's catalog", '15,000', catalog, 'ms', 250),
      atMost("another's mount", '8,000', mounted, 'ms', 250),
      atLeast(what, '80/s (5,209/s alone)', pulls, '/s', 500),
    ]
  },
}

/** A token that was had before the keys were rotated at once. */
export const rotation: AttackCase = {
  name: 'rotation',
  async run({ url, admin, checker }) {
    const answer = await checker.get(`/token?service=cay&scope=repository:${CHECKER}/app:pull`)
    const authorization = `Bearer ${answer.json<{ token: string }>().token}`
    const use = () => clientOf(url).send('GET', '/v2/', { headers: { authorization } })
    const before = await use()
    await admin.api('POST', '/signing-keys?revokeOthers=true')
    const after = await use()
    const tokens = [before, after].filter(({ status }) => status === 200).length
    return [atMost('uses of a token, before and after cay key rotate --now', '2', tokens, '', 1)]
  },
}

/** Guesses at the admin's password from elsewhere. */
export const lockout: AttackCase = {
  name: 'lockout',
  async run(target) {
    for (let guess = 0; guess < 12; guess++) await signIn(target, 'admin', `wrong-${guess}`, '203.0.113.50')
    const isIn = (await signIn(target, 'admin', PASSWORD, HOME)) === 201
    const what = 'sign-ins of the admin after 12 guesses by an outsider'
    return [atLeast(what, '0 for up to 300 s', Number(isIn), '', 1)]
  },
}

/** Guesses in parallel, and from many addresses of one network. */
export const guesses: AttackCase = {
  name: 'guesses',
  async run(target) {
    const tried = async (count: number, name: (i: number) => string, from: (i: number) => string) => {
      const guess = (_: unknown, i: number) => signIn(target, name(i), `wrong-${i}`, from(i))
      const statuses = await Promise.all(Array.from({ length: count }, guess))
      return statuses.filter((status) => status === 401).length
    }
    const address = () => '203.0.113.60'
    const addressIn = (i: number) => `2001:db8:1:2::${(i + 1).toString(16)}`
    const atOnce = await tried(64, () => CHECKER, address)
    const network = await tried(100, (i) => `user${i}`, addressIn)
    return [
      atMost('guesses at one account that were tried, of 64 at once', '64', atOnce, '', 6),
      atMost('guesses that were tried, of 100 from one /64 network', '100', network, '', 21),
    ]
  },
}

/** Refusals in a flood, with long targets. */
export const audit: AttackCase = {
  name: 'audit',
  async run({ attacker, admin }) {
    const path = `/api/v1/users/${'x'.repeat(60)}?${'y'.repeat(10_000)}`
    for (let count = 0; count < 2000; count += 50)
      await Promise.all(Array.from({ length: 50 }, () => attacker.send('GET', path)))
    const changes = await admin.get('/api/v1/audit?limit=500')
    const refused = await admin.api<{ items: unknown[] }>('GET', '/audit?limit=500&kind=denied')
    const made = Number(changes.text.includes(CHECKER))
    return [
      atMost('entries that 2,000 refusals left', '2,000', refused.items.length, '', 5),
      atLeast('entries of an earlier change that are still there', '0 in minutes', made, '', 1),
    ]
  },
}

/** Signs in like a browser, and returns the status. */
async function signIn({ url }: Target, username: string, password: string, from: string): Promise<number> {
  const json = { username, password }
  return (await clientOf(url, undefined, from).send('POST', '/api/v1/session', { json })).status
}
