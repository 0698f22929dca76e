import { mkdirSync } from 'node:fs'
import type { Logger } from 'pino'
import { openAccess } from './auth/open-access.ts'
import type { Config } from './config-schema.ts'
import { type HttpOptions, type HttpServer, serveHttp } from './http/server.ts'
import { Jobs } from './jobs.ts'
import { isLoopback, type ListenAddress, parseListenAddress } from './listen-address.ts'
import { requireLocalDisk } from './metadata/local-disk.ts'
import { lockFolder } from './metadata/lock.ts'
import { openMetadata } from './metadata/metadata.ts'
import { localRegistry } from './registry/local-registry.ts'
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
export async function openApp(config: Config, log: Logger): Promise<App> {
  const listen = config.listen.map(parseListenAddress)
  const tlsChoice = parseTlsChoice(config.tls)
  refuseBeyondLoopback(listen)
  const metadataFolder = config.metadata ?? config.data
  for (const folder of [config.data, metadataFolder]) makeFolder(folder)
  requireLocalDisk(metadataFolder)
  const unlock = lockFolder(config.data)
  let servers: HttpServer[] = []
  const tls = await openTls(tlsChoice, config.host, {
    data: config.data,
    log,
    now: Date.now,
    onChange: (credentials) => {
      for (const server of servers) server.replace(credentials)
    },
  })
  const failed = Promise.withResolvers<Error>()
  const metadata = await openMetadata(metadataFolder, Date.now(), failed.resolve)
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
    access: openAccess,
    now: Date.now,
    sparse: config.manifests.sparse,
    cacheBytesMax: config.manifests.cacheBytesMax,
  })
  await uploads.tidy()
  const jobs = new Jobs(log)
  const { idleSecondsMax } = config.uploads
  jobs.every(Math.min(3600, idleSecondsMax), 'expire uploads', async () => {
    const expired = await uploads.expire(Date.now() - idleSecondsMax * 1000)
    if (expired > 0) log.info({ expired }, 'dropped idle uploads')
  })
  if (tls) jobs.every(TLS_CHECK_SECONDS, 'check the certificate', tls.check)
  servers = listenAll(listen, log, (address) =>
    serveHttp(
      {
        registry,
        access: openAccess,
        log,
        limits: limitsOf(config),
        problem: () => undefined,
        tls: tls && { credentials: tls.credentials(), authority: tls.authority },
      },
      address.host,
      address.port,
    ),
  )
  return {
    addresses: servers.map(({ address }) => address),
    authority: tls?.authority,
    failed: failed.promise,
    async close() {
      jobs.stop()
      tls?.close()
      await Promise.all(servers.map((server) => server.stop(config.shutdown.secondsMax)))
      uploads.stop()
      await metadata.close()
      unlock()
    },
  }
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

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw new Error(
      `cannot make the folder ${folder}: ${(error as Error).message}; choose another one with --data`,
    )
  }
}

function refuseBeyondLoopback(listen: ListenAddress[]): void {
  const open = listen.find((address) => !isLoopback(address))
  if (open === undefined) return
  throw new Error(
    `listen names ${open.host || 'every address'}, which other machines reach; this version has no accounts, ` +
      'so it listens on loopback only: use 127.0.0.1 or [::1]',
  )
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
