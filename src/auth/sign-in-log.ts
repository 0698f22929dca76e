import { LRUCache } from 'lru-cache'
import type { Logger } from 'pino'
import { networkOf } from '../domain/access/client-network.ts'
import { LineLimit } from '../telemetry/line-limit.ts'

/** Successful sign-ins of one account from one address are logged once in this time. */
const SAME_MS = 3_600_000
const SAME_MAX = 10_000

/** Names, which can be anything that a client sent, are cut to this length. */
const NAME_CHARACTERS_MAX = 64

/** A password or a token that was checked. */
export interface SignIn {
  isRight: boolean
  credential: 'password' | 'token' | 'refresh' | 'session'
  /** As the client sent it. Undefined if it sent no name. */
  account: string | undefined
  address: string
}

/**
 * Returns a function that logs sign-ins, and counts those with a password. Programs like fail2ban read the lines of failed
 * ones, so their form must stay: the address is the first field after the time.
 */
export function signInRecorder(
  log: Logger,
  logins: { ok: number; failed: number },
): (signIn: SignIn) => void {
  const seen = new LRUCache<string, true>({ max: SAME_MAX, ttl: SAME_MS })
  const limit = new LineLimit()
  return ({ isRight, address, credential, ...signIn }) => {
    if (credential === 'password') logins[isRight ? 'ok' : 'failed']++
    if (!log.isLevelEnabled('info')) return
    const account = signIn.account?.slice(0, NAME_CHARACTERS_MAX)
    if (!isRight) {
      const omitted = limit.admit(networkOf(address))
      if (omitted) log.info({ address, account, credential, ...omitted }, 'failed sign-in')
      return
    }
    const key = `${account} ${address}`
    if (seen.has(key)) return
    seen.set(key, true)
    log.info({ address, account, credential }, 'signed in')
  }
}
