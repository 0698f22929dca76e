import { Elysia } from 'elysia'
import type { Upstream } from '../domain/address.ts'
import { clientsOf } from './clients.ts'
import { v2Dispatch } from './distribution/dispatch.ts'
import { routes } from './distribution/routes.ts'
import { Listener } from './listener/listener.ts'
import { errors } from './problem/errors.ts'
import type { HttpOptions } from './server.ts'

/**
 * Serves one upstream's repositories by their own names, as Docker's `registry-mirrors` requests them. It serves only
 * what `anonymous` may pull and never asks for credentials: Docker would send the user's password for the upstream.
 */
export function serveMirror(
  options: HttpOptions,
  mirrorOf: Upstream,
  hostname: string,
  port: number,
): Listener {
  const { auth, content, log, limits, tls, metrics } = options
  const clients = clientsOf(options, (request) => listener.addressOf(request))
  const dispatch = v2Dispatch({
    ...clients,
    routes: routes().filter(({ access }) => access === 'pull' || access === 'base'),
    ...auth,
    content,
    accounts: options.accounts,
    limits,
    metrics,
    log,
    mirrorOf,
    authenticate: (request) => auth.authenticator.authenticate(null, () => clients.addressOf(request)),
    isForV1: () => false,
    onBlobBody: (bytes, isFile) => {
      metrics.traffic.sent += bytes
      if (isFile) listener.sendsFile(bytes)
    },
  })
  const app = new Elysia({ handler: { standardHostname: tls !== undefined } })
    .use(errors(log, clients.nextRequestId))
    .all('/v2', ({ request }) => dispatch(request), { parse: 'none' })
    .all('/v2/*', ({ request }) => dispatch(request), { parse: 'none' })
  const fetch = (request: Request) => options.frontDoor.admit(clients.arrivalOf(request), app.fetch)
  const listener = new Listener(fetch, hostname, port, tls?.credentials)
  return listener
}
