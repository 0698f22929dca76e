import { requestLoad } from '../bench/lib/request-load.ts'
import { sha256 } from '../lib/image.ts'
import { type AttackCase, longestLivez, type Measured, millisecondsOf } from './case.ts'
import { ATTACKER, CHECKER, LAYER, PASSWORD, pushImage, type Target } from './target.ts'

const attacker = `${ATTACKER}:${PASSWORD}`
const user = `${CHECKER}:${PASSWORD}`

/** Where the server admin has signed in from; the guesses come from elsewhere. */
const HOME = '198.51.100.1'

const GRANTS = 4000

/** A user makes thousands of grants, then grants in a loop. */
export const grants: AttackCase = {
  name: 'grants',
  async run(target) {
    const put = (pattern: string) =>
      target.ask('PUT', '/api/v1/grants', {
        as: attacker,
        body: { subject: CHECKER, pattern, role: 'reader' },
      })
    let made = 0
    for (let at = 0; at < GRANTS; at += 8) {
      const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => put(`${ATTACKER}/p${at + i}/**`)))
      made += answers.filter(({ status }) => status < 300).length
    }
    await pushImage(target, `${CHECKER}/app`, 'latest', user)
    const mount = `/v2/${CHECKER}/other/blobs/uploads/?mount=${sha256(LAYER)}`
    const catalog = await millisecondsOf(() => target.ask('GET', '/v2/_catalog', { as: user }))
    const mounted = await millisecondsOf(() => target.ask('POST', mount, { as: user }))
    const pulls = await pullsWhile(target, () => put(`${ATTACKER}/p1/**`))
    return [
      atMost('grants that one user made in one namespace', 'any number', made, '', 1000),
      atMost("another's catalog", '15,000', catalog, 'ms', 250),
      atMost("another's mount", '8,000', mounted, 'ms', 250),
      {
        what: "another's pulls with a password while grants are made in a loop",
        before: '80/s (5,209/s alone)',
        now: pulls,
        unit: '/s',
        limit: ['at least', 500],
      },
    ]
  },
}

/** A token that was had before the keys were rotated at once. */
export const rotation: AttackCase = {
  name: 'rotation',
  async run(target) {
    const { json } = await target.ask('GET', `/token?service=cay&scope=repository:${CHECKER}/app:pull`, {
      as: user,
    })
    const headers = { authorization: `Bearer ${json.token}` }
    const before = await target.ask('GET', '/v2/', { headers })
    await target.admin('POST', '/api/v1/signing-keys?revokeOthers=true')
    const after = await target.ask('GET', '/v2/', { headers })
    const tokens = [before, after].filter(({ status }) => status === 200).length
    return [atMost('uses of a token, before and after cay key rotate --now', '2', tokens, '', 1)]
  },
}

/** Guesses at the admin's password from elsewhere. */
export const lockout: AttackCase = {
  name: 'lockout',
  async run(target) {
    for (let guess = 0; guess < 12; guess++) await signIn(target, 'admin', `wrong-${guess}`, '203.0.113.50')
    const { status } = await signIn(target, 'admin', PASSWORD, HOME)
    return [
      {
        what: 'sign-ins of the admin after 12 guesses by an outsider',
        before: '0 for up to 300 s',
        now: Number(status === 201),
        unit: '',
        limit: ['at least', 1],
      },
    ]
  },
}

/** Guesses in parallel, and from many addresses of one network. */
export const guesses: AttackCase = {
  name: 'guesses',
  async run(target) {
    const tried = async (count: number, name: (i: number) => string, from: (i: number) => string) => {
      const answers = await Promise.all(
        Array.from({ length: count }, (_, i) => signIn(target, name(i), `wrong-${i}`, from(i))),
      )
      return answers.filter(({ status }) => status === 401).length
    }
    const atOnce = await tried(
      64,
      () => CHECKER,
      () => '203.0.113.60',
    )
    const network = await tried(
      100,
      (i) => `user${i}`,
      (i) => `2001:db8:1:2::${(i + 1).toString(16)}`,
    )
    return [
      atMost('guesses at one account that were tried, of 64 at once', '64', atOnce, '', 6),
      atMost('guesses that were tried, of 100 from one /64 network', '100', network, '', 21),
    ]
  },
}

/** Refusals in a flood, with long targets. */
export const audit: AttackCase = {
  name: 'audit',
  async run(target) {
    const path = `/api/v1/users/${'x'.repeat(60)}?${'y'.repeat(10_000)}`
    for (let count = 0; count < 2000; count += 50) {
      await Promise.all(Array.from({ length: 50 }, () => target.ask('GET', path, { as: attacker })))
    }
    const changes = await target.admin('GET', '/api/v1/audit?limit=500')
    const refused = await target.admin('GET', '/api/v1/audit?limit=500&kind=denied')
    const made = JSON.stringify(changes.json).includes(CHECKER)
    const items = (refused.json.items as unknown[]).length
    return [
      atMost('entries that 2,000 refusals left', '2,000', items, '', 5),
      {
        what: 'entries of an earlier change that are still there',
        before: '0 in minutes',
        now: Number(made),
        unit: '',
        limit: ['at least', 1],
      },
    ]
  },
}

function signIn(target: Target, name: string, password: string, from: string) {
  return target.ask('POST', '/api/v1/session', { from, body: { username: name, password } })
}

/** How many pulls with a password another user gets while something is repeated. */
async function pullsWhile(target: Target, attack: () => Promise<unknown>): Promise<number> {
  const state = { isDone: false, pulls: 0 }
  const attacks = Array.from({ length: 2 }, async () => {
    while (!state.isDone) await attack()
  })
  await longestLivez(target, async () => {
    const { requestsPerSecond } = await requestLoad({
      port: Number(new URL(target.url).port),
      method: 'GET',
      path: `/v2/${CHECKER}/app/manifests/latest`,
      authorization: `Basic ${btoa(user)}`,
      connections: 8,
      seconds: 3,
    })
    state.pulls = requestsPerSecond
  })
  state.isDone = true
  await Promise.all(attacks)
  return state.pulls
}

function atMost(what: string, before: string, now: number, unit: string, limit: number): Measured {
  return { what, before, now, unit, limit: ['at most', limit] }
}
