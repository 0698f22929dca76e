import { access } from './nouns/accounts/access.ts'
import { audit } from './nouns/accounts/audit.ts'
import { grants } from './nouns/accounts/grants.ts'
import { groups } from './nouns/accounts/groups.ts'
import { robots } from './nouns/accounts/robots.ts'
import { signingKeys } from './nouns/accounts/signing-keys.ts'
import { tokens } from './nouns/accounts/tokens.ts'
import { users } from './nouns/accounts/users.ts'
import { cache } from './nouns/cache/cache.ts'
import { pins } from './nouns/cache/pins.ts'
import { upstreams } from './nouns/cache/upstreams.ts'
import { collector } from './nouns/collector.ts'
import { blobs } from './nouns/content/blobs.ts'
import { files } from './nouns/content/files.ts'
import { manifests } from './nouns/content/manifests.ts'
import { repositories } from './nouns/content/repositories.ts'
import { search } from './nouns/content/search.ts'
import { storage } from './nouns/content/storage.ts'
import { tags } from './nouns/content/tags.ts'
import { uploads } from './nouns/content/uploads.ts'
import { damage } from './nouns/damage.ts'
import { events } from './nouns/events.ts'
import { jobs } from './nouns/jobs.ts'
import { quotas } from './nouns/quotas.ts'
import { retention } from './nouns/retention.ts'
import { server } from './nouns/server.ts'
import type { Noun } from './verb.ts'

/** The nouns with their verbs. Help and completions are made from this; docs/commands.md lists the same. */
export const NOUNS: Readonly<Record<string, Noun>> = {
  search,
  repo: repositories,
  tag: tags,
  manifest: manifests,
  blob: blobs,
  file: files,
  upload: uploads,
  damage,
  storage,
  cache,
  pin: pins,
  upstream: upstreams,
  retention,
  quota: quotas,
  gc: collector,
  job: jobs,
  server,
  user: users,
  robot: robots,
  token: tokens,
  group: groups,
  grant: grants,
  access,
  key: signingKeys,
  audit,
  event: events,
}
