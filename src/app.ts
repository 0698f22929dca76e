import type { Logger } from 'pino'
import { type AccountServices, accountServices } from './accounts/accounts.ts'
import { type Auth, openAuth } from './accounts/authenticator.ts'
import { type FirstPassword, makeFirstAdmin, PasswordFile } from './accounts/passwords.ts'
import { signInRecorder } from './accounts/sign-ins.ts'
import { planHousekeeping } from './app/housekeeping.ts'
import { openSocket, serveHttp, serveMirror } from './app/listeners.ts'
import { openMetadata } from './app/metadata.ts'
import { openPulls, openRegistries, type Registries } from './app/registries.ts'
import { type ContentOptions, contentServices } from './app/services.ts'
import { backupJob } from './backup/job.ts'
import type { ProxyCache } from './cache/cache.ts'
import { pushRoom } from './cache/room.ts'
import { type CheckedListening, checkListening, type SettingSources } from './config/config.ts'
import type { Config } from './config/schema.ts'
import { socketPath } from './config/values.ts'
import { descriptions } from './content/content.ts'
import { type DataFolder, openCrashMarker, openDataFolder, removeSocket } from './data-folder/data-folder.ts'
import type { Metadata } from './database/metadata.ts'
import { removeIndex } from './files/index-folder.ts'
import { FileReader } from './files/reader.ts'
import { Collector, collectJob, openRemovalClock, scanJob } from './garbage/garbage.ts'
import { listenerOptions } from './http/clients.ts'
import type { ApiServices } from './http/controller.ts'
import { type Authority, type Listener, listenAll } from './http/listener.ts'
import { Scrub } from './integrity/integrity.ts'
import { Jobs } from './jobs/jobs.ts'
import { type DiskReserve, openReserve } from './operation/operation.ts'
import { explainingDenials, openQuotas, type Quotas } from './quota/quota.ts'
import { ContentReader } from './registry/content-reader.ts'
import { openDamaged } from './registry/local-blobs.ts'
import { allowedTypes, LargePushes } from './registry/local-manifests.ts'
import { PushActivity } from './registry/registry.ts'
import { garbageWindowOf } from './registry/store.ts'
import type { Usage } from './registry/usage.ts'
import { Retention, retentionJob } from './retention/retention.ts'
import { type Clocks, certificateClock, openClocks } from './runtime/clock.ts'
import { IdleMemory } from './runtime/idle-memory.ts'
import { Metrics } from './runtime/metrics.ts'
import { DigestLocks } from './storage/digest-locks.ts'
import { diskSpace } from './storage/durable-file.ts'
import { FilesystemBlobs } from './storage/filesystem.ts'
import { FilesystemUploads, filesystemFills } from './storage/uploads.ts'
import { certificateNames, openTls, TLS_CHECK_SECONDS } from './tls/tls.ts'

export interface App {
  /** The addresses that it listens on. */
  addresses: string[]
  /** The addresses of the listeners that mirror an upstream for Docker. */
  mirrors: { upstream: string; address: string }[]
  /** The authority of the certificate, with `tls = auto`. */
  authority: Authority | undefined
  /** Resolves when the app has failed permanently and its process should end. */
  failed: Promise<Error>
  /** Stops gracefully: accepts no new requests, lets those in flight finish, and then closes everything. */
  close(): Promise<void>
}

/** Certificates follow a jump of the clock after it has lasted this long. */
const CERTIFICATE_GRACE_MS = 86_400_000

const OPEN_WARNING =
  'access is open: everyone who can connect can do everything except change accounts; use access = accounts to require sign-in'

/**
 * Checks everything in a configuration that keeps a server from starting and can be known without opening anything.
 * @throws ConfigError with the setting and its value
 */
export function checkConfig(config: Config): CheckedListening {
  const checked = checkListening(config)
  if (config.tls === 'auto') certificateNames({ hostname: 'localhost', addresses: [], named: config.host })
  allowedTypes(config.artifacts.allow)
  listenerOptions(config, checked.listen, config.tls === 'auto')
  return checked
}

/** The composition root: opens the data folder, builds the services, and serves. */
export async function openApp(config: Config, log: Logger, options: AppOptions = {}): Promise<App> {
  const { listen, mirrors, tlsChoice } = checkConfig(config)
  const failed = Promise.withResolvers<Error>()
  const services = await openServices(config, log, { ...options, onFailure: failed.resolve })
  const { auth, uploads, now, clocks } = services
  if (!auth.access.isOpen) await makeFirstAdmin(services, options, log)
  await uploads.tidy()
  let servers: Listener[] = []
  const tls = await openTls(tlsChoice, config.host, {
    data: config.data,
    log,
    now: certificateClock(clocks.steady(CERTIFICATE_GRACE_MS), now),
    onChange: (credentials) => {
      for (const server of servers) server.replace(credentials)
    },
  })
  const crash = await openCrashMarker(config.data)
  const schedule = planHousekeeping(config, log, { ...services, ...services.auth, crash })
  if (tls) schedule.every(TLS_CHECK_SECONDS, 'check the certificate', tls.check)
  const served = {
    ...services,
    now,
    log,
    ...listenerOptions(config, [...listen, ...mirrors.map(({ address }) => address)], tls !== undefined),
    tls: tls && { credentials: tls.credentials(), authority: tls.authority },
  }
  for (const one of [served.frontDoor, auth.authenticator]) services.idleMemory.add(one)
  if (auth.access.isOpen) log.warn(OPEN_WARNING)
  const opened = [() => schedule.stop(), () => tls?.close(), crash.close, services.close]
  const listenMirror = ({ upstream: name, address }: (typeof mirrors)[number]) => {
    const upstream = services.content.upstreams.find(name)
    return upstream
      ? listenAll([address], log, ({ host, port }) => serveMirror(served, upstream, host, port))
      : []
  }
  const [main, further] = await closeOnFailure(opened, () => [
    listenAll(listen, log, ({ host, port }) => serveHttp(served, host, port)),
    mirrors.flatMap(listenMirror),
  ])
  servers = [...main, ...further]
  const listening = {
    addresses: main.map(({ address }) => address),
    mirrors: further.map(({ address }, at) => ({ upstream: mirrors[at]?.upstream ?? '', address })),
  }
  services.content.addresses.push(...listening.addresses)
  services.content.mirrors.push(...listening.mirrors)
  const socket = openSocket(socketPath(config.data), () => removeSocket(config.data), served)
  void schedule.start()
  return {
    ...listening,
    authority: tls?.authority,
    failed: failed.promise,
    async close() {
      schedule.stop()
      tls?.close()
      // Watchers would hold their connections open.
      services.content.changes.stop()
      await services.content.jobs.stop()
      await Promise.all([socket, ...servers].map((server) => server.stop(config.shutdown.secondsMax)))
      crash.close()
      await services.keepClock()
      await services.close()
    },
  }
}

/** The services on a data folder, for a server or for a command without one. */
export interface Services {
  metadata: DataFolder['metadata']
  auth: Auth
  accounts: AccountServices
  uploads: FilesystemUploads
  collector: Collector
  scrub: Scrub
  usage: Usage
  labels: Registries['local']['labels']
  cache: ProxyCache
  idleMemory: IdleMemory
  /** The time to record, in milliseconds since 1970. It is never before a time that was recorded earlier. */
  now: () => number
  clocks: Clocks
  content: ApiServices
  metrics: Metrics
  passwordFile: PasswordFile
  /** Records what garbage collection knows of the time, for the next start. */
  keepClock(): Promise<void>
  close(): Promise<void>
}

export interface ServiceOptions {
  /** Milliseconds since 1970, by the machine's clock. */
  wall?: () => number
  /** Milliseconds since an arbitrary time; never goes backwards. */
  monotonic?: () => number
  /** Called when something fails that the services cannot work without. */
  onFailure: (error: Error) => void
  settingSources?: SettingSources | undefined
}

/** Locks the data folder for this process, and builds the services on it. */
export async function openServices(config: Config, log: Logger, options: ServiceOptions): Promise<Services> {
  const { onFailure, settingSources = {} } = options
  const folder = await openDataFolder(config, log, (path) => openMetadata(path, onFailure))
  const clocks = openClocks(await folder.metadata.newestTime(), options)
  const { now } = clocks
  const quotas = await openQuotas({ metadata: folder.metadata, config, settingSources, log, now })
  const metadata = explainingDenials(folder.metadata, quotas.room.explain)
  const garbageWindow = garbageWindowOf(config.gc)
  const metrics = new Metrics()
  const passwordFile = new PasswordFile(config.data)
  const auth = await openAuth(metadata, config.access, now, signInRecorder(log, metrics.logins))
  const blobs = new FilesystemBlobs(config.data, (digest) => removeIndex(config.data, digest))
  const onReceived = (bytes: number) => {
    metrics.traffic.received += bytes
  }
  const onEnded = (name: string) => quotas.room.release(name)
  const limits = { ...config.uploads, blobBytesMax: config.blobs.bytesMax, onFailure }
  const pushes = { ...pushRoom(() => cache.room), onReceived, onEnded }
  const uploads = new FilesystemUploads(config.data, { ...limits, ...pushes })
  const kept = {
    metadata,
    blobs,
    reader: new ContentReader(),
    largePushes: new LargePushes(),
    idleMemory: new IdleMemory(),
    locks: new DigestLocks(),
    garbageWindow,
    now,
    activity: new PushActivity(now),
    damaged: await openDamaged(metadata, blobs),
    room: quotas.room,
  }
  const removal = openRemovalClock(config.data, clocks, garbageWindow.graceMs, log)
  const collector = new Collector({ ...kept, ...clocks, ...removal, log })
  const fills = filesystemFills(config.data, uploads)
  const disk = () => diskSpace(config.data)
  const around = { config, log, fills, uploads, access: auth.access, disk, settingSources }
  const { local, cache } = await openRegistries({ ...kept, ...around, ...clocks, counts: metrics.cache })
  const scrub = new Scrub({ ...kept, config, log })
  const retention = new Retention({ ...kept, ...around, ...removal, usage: local.usage })
  const reserve = openReserve(config, log, diskSpace)
  const jobs = openJobs({ config, log, clocks, collector, retention, scrub, metadata })
  const fileReader = new FileReader({ data: config.data })
  const parts = { ...kept, ...around, registry: cache.registry, storedBlobs: local.blobs, collector, cache }
  const content = await openContent({ ...parts, local, retention, quotas, jobs, scrub, reserve, fileReader })
  return {
    metadata,
    auth,
    accounts: accountServices({ metadata, config, auth, now, passwordFile }),
    uploads,
    collector,
    scrub,
    usage: local.usage,
    labels: local.labels,
    cache,
    idleMemory: kept.idleMemory,
    now,
    clocks,
    content,
    metrics,
    passwordFile,
    keepClock: () => removal.keep(collector.startupWait()),
    async close() {
      await Promise.all([jobs.stop(), retention.stop(), collector.stop(), scrub.stop(), cache.stop()])
      await Promise.all([auth.authenticator.noteUse(), local.usage.close(), local.labels.stop()])
      await Promise.all([uploads.stop(), kept.reader.stop(), fileReader.stop()])
      await folder.close()
    },
  }
}

interface ContentParts extends Omit<ContentOptions, 'usage' | 'descriptions'> {
  locks: DigestLocks
  idleMemory: IdleMemory
  uploads: FilesystemUploads
  local: Registries['local']
  retention: Retention
  quotas: Quotas
  scrub: Scrub
  reserve: DiskReserve
}

/** Builds what the HTTP APIs call. */
async function openContent({
  local,
  retention,
  quotas,
  scrub,
  reserve,
  ...parts
}: ContentParts): Promise<ApiServices> {
  const { registry, cache, config, settingSources, now, idleMemory } = parts
  const described = descriptions(parts.metadata, parts.storedBlobs, parts.reader)
  for (const one of [parts.metadata, parts.reader, parts.uploads, local, described]) idleMemory.add(one)
  return {
    ...contentServices({ ...parts, descriptions: described, usage: local.usage }),
    ...(await openPulls({ ...parts, local })),
    registry,
    upstreams: cache.upstreams,
    retention,
    quotas,
    config,
    settingSources,
    addresses: [],
    mirrors: [],
    startedAt: now(),
    scrub,
    reserve,
  }
}

export type AppOptions = FirstPassword & Omit<ServiceOptions, 'onFailure'>

export interface JobParts {
  config: Config
  log: Logger
  clocks: Clocks
  collector: Collector
  scrub: Scrub
  retention: Retention
  metadata: Metadata
}

/** Opens the jobs of a server with the work of each kind. */
function openJobs({ config, log, clocks, collector, retention, scrub, metadata }: JobParts): Jobs {
  return new Jobs({
    log,
    now: clocks.now,
    work: {
      gc: collectJob(collector),
      scan: scanJob(collector),
      scrub: async ({ signal, progress }) => ({ ...(await scrub.all(signal, progress)) }),
      retain: retentionJob(retention),
      backup: backupJob(config, clocks.wall),
    },
    note: (act) => metadata.write('noteAct', act),
  })
}

/**
 * Starts something. If that fails, closes in this order what was opened for it, so that the next start does not look like
 * one after a crash.
 */
async function closeOnFailure<T>(opened: (() => unknown)[], start: () => T): Promise<T> {
  try {
    return start()
  } catch (error) {
    for (const close of opened) await close()
    throw error
  }
}
