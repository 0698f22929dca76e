import type { Logger } from 'pino'
import { type Auth, openAuth } from './auth/auth.ts'
import { FIRST_ADMIN, makeFirstAdmin } from './auth/first-admin.ts'
import type { Config } from './config-schema.ts'
import { openDataFolder } from './data-folder.ts'
import { Changes } from './http/admin/changes.ts'
import { Origins } from './http/origin.ts'
import { type HttpOptions, type HttpServer, serveHttp } from './http/server.ts'
import { type SocketOptions, serveSocket } from './http/socket.ts'
import { Jobs } from './jobs.ts'
import { type ListenAddress, parseListenAddress, refuseToListen } from './listen-address.ts'
import type { Metadata } from './metadata/metadata.ts'
import { PasswordFile } from './password-file.ts'
import { allowedTypes } from './registry/allowed-types.ts'
import { localRegistry } from './registry/local-registry.ts'
import type { UploadStore } from './storage/blob-store.ts'
import { FilesystemBlobs } from './storage/filesystem.ts'
import { FilesystemUploads } from './storage/filesystem-uploads.ts'
import type { Authority } from './tls/authority.ts'
import { parseTlsChoice } from './tls/choice.ts'
import { openTls, TLS_CHECK_SECONDS } from './tls/tls.ts'

export interface App {
  /** The addresses that it listens on. */
  addresses: string[]
  /** The authority of its certificate, where that is its own. */
  authority: Authority | undefined
  /** Resolves when the app cannot go on; its process should end. */
  failed: Promise<Error>
  /** Ends gracefully: no new request, those in flight have their time, then everything is closed. */
  close(): Promise<void>
}

const TAGS_PER_PUSH_MAX = 100

/** The composition root: opens the data folder, builds the services, and serves. */
export async function openApp(config: Config, log: Logger, options: AppOptions = {}): Promise<App> {
  const { now = Date.now } = options
  const listen = config.listen.map(parseListenAddress)
  const tlsChoice = parseTlsChoice(config.tls)
  const refusal = refuseToListen(listen, { access: config.access, hasTlsChoice: config.tls !== undefined })
  if (refusal !== undefined) throw new Error(refusal)
  const checkAllowed = allowedTypes(config.artifacts.allow)
  const failed = Promise.withResolvers<Error>()
  const folder = await openDataFolder(config, failed.resolve)
  const { metadata } = folder
  const auth = await openAuth(metadata, config.access, now)
  const passwordFile = new PasswordFile(config.data)
  if (!auth.access.isOpen) await presentFirstAdmin(metadata, auth, passwordFile, options, log)
  const blobs = new FilesystemBlobs(config.data)
  const uploads = new FilesystemUploads(config.data, blobs, {
    ...config.uploads,
    blobBytesMax: config.blobs.bytesMax,
    onFailure: failed.resolve,
  })
  const registry = localRegistry({
    metadata,
    blobs,
    uploads,
    access: auth.access,
    now,
    sparse: config.manifests.sparse,
    checkAllowed,
    schema1: config.docker.schema1,
    cacheBytesMax: config.manifests.cacheBytesMax,
  })
  await uploads.tidy()
  let servers: HttpServer[] = []
  const tls = await openTls(tlsChoice, config.host, {
    data: config.data,
    log,
    now,
    onChange: (credentials) => {
      for (const server of servers) server.replace(credentials)
    },
  })
  const jobs = startJobs(config, log, { metadata, uploads, auth, now })
  if (tls) jobs.every(TLS_CHECK_SECONDS, 'check the certificate', tls.check)
  const services = {
    ...{ registry, auth, metadata, now, changes: new Changes() },
    origins: new Origins({ ...originOptions(config), isTls: tls !== undefined }),
    onPasswordChanged: (account: string) => account === FIRST_ADMIN && passwordFile.remove(),
    log,
    limits: limitsOf(config),
    problem: () => undefined,
    tls: tls && { credentials: tls.credentials(), authority: tls.authority },
  }
  servers = listenAll(listen, log, ({ host, port }) => serveHttp(services, host, port))
  const socket = openSocket(config.data, services)
  return {
    addresses: servers.map(({ address }) => address),
    authority: tls?.authority,
    failed: failed.promise,
    async close() {
      jobs.stop()
      tls?.close()
      await Promise.all([socket, ...servers].map((server) => server.stop(config.shutdown.secondsMax)))
      await auth.authenticator.noteUse()
      uploads.stop()
      await folder.close()
    },
  }
}

export interface AppOptions {
  /** The first account's password, or the file that has it; without them it gets a new one. */
  adminPassword?: string | undefined
  adminPasswordFile?: string | undefined
  /** Milliseconds since 1970. */
  now?: () => number
}

function limitsOf({ manifests, uploads, lists }: Config): HttpOptions['limits'] {
  return {
    manifestBytesMax: manifests.bytesMax,
    bodyBytesMax: Math.max(manifests.bodyBytesMax, manifests.bytesMax),
    stallSecondsMax: uploads.stallSecondsMax,
    pageMax: lists.pageMax,
    tagsPerPushMax: TAGS_PER_PUSH_MAX,
  }
}

function originOptions({ externalUrl, trustedProxies }: Config) {
  return { externalUrl, trustedProxies }
}

interface JobServices {
  metadata: Metadata
  uploads: UploadStore
  auth: Auth
  now: () => number
}

function startJobs(config: Config, log: Logger, { metadata, uploads, auth, now }: JobServices): Jobs {
  const jobs = new Jobs(log)
  const { idleSecondsMax } = config.uploads
  jobs.every(Math.min(3600, idleSecondsMax), 'expire uploads', async () => {
    const expired = await uploads.expire(now() - idleSecondsMax * 1000)
    if (expired > 0) log.info({ expired }, 'dropped idle uploads')
  })
  jobs.every(60, 'note the use of tokens', () => auth.authenticator.noteUse())
  jobs.every(3600, 'remove expired tokens', () => metadata.write('removeExpired', { before: now() }))
  return jobs
}

/** Makes the first account; its password is for the terminal, or for a file that only its owner reads. */
async function presentFirstAdmin(
  metadata: Metadata,
  auth: Auth,
  file: PasswordFile,
  { adminPassword, adminPasswordFile: path, now = Date.now }: AppOptions,
  log: Logger,
): Promise<void> {
  const preset = adminPassword ?? (path === undefined ? undefined : await readPreset(path))
  const tell = (password: string) => {
    if (process.stdout.isTTY) {
      process.stdout.write(`\n  The first account is ${FIRST_ADMIN}, with the password ${password}\n\n`)
    } else {
      log.info({ account: FIRST_ADMIN, passwordFile: file.write(password) }, 'made the first account')
    }
  }
  await makeFirstAdmin(metadata, auth.passwords, preset, tell, now())
}

async function readPreset(path: string): Promise<string> {
  try {
    return (await Bun.file(path).text()).trimEnd()
  } catch (error) {
    throw new Error(`cannot read ${path}, which CAY_ADMIN_PASSWORD_FILE names: ${(error as Error).message}`)
  }
}

/** Commands reach the server through its socket; a server without one serves all the same. */
function openSocket(data: string, options: SocketOptions) {
  try {
    return serveSocket(data, options)
  } catch (cause) {
    options.log.warn({ cause }, `commands cannot reach this server: there is no socket in ${data}`)
    return { stop: async () => {} }
  }
}

/** All addresses; one of a family that this machine does not have is left out when another one works. */
function listenAll(
  listen: ListenAddress[],
  log: Logger,
  serve: (address: ListenAddress) => HttpServer,
): HttpServer[] {
  const servers: HttpServer[] = []
  let failure: unknown
  for (const address of listen) {
    try {
      servers.push(serve(address))
    } catch (error) {
      failure = explain(error, address)
      if (address.host !== '::1' || listen.length === 1) throw failure
      log.debug({ cause: failure }, 'this machine has no [::1]')
    }
  }
  if (servers.length === 0) throw failure
  return servers
}

function explain(error: unknown, { host, port }: ListenAddress): Error {
  const { code, message } = error as NodeJS.ErrnoException
  if (code !== 'EADDRINUSE') return new Error(`cannot listen on ${host}:${port}: ${message}`)
  const likely = process.platform === 'darwin' && port === 5000 ? ' (likely by AirPlay Receiver)' : ''
  return new Error(`port ${port} is taken${likely}: choose another one with --listen ${host}:PORT`)
}
