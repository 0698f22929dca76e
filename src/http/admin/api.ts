import { Elysia } from 'elysia'
import { access } from './access.ts'
import { audit } from './audit.ts'
import { blobs } from './blobs.ts'
import { collector } from './collector.ts'
import type { AdminContext } from './context.ts'
import { events } from './events.ts'
import { grants } from './grants.ts'
import { groups } from './groups.ts'
import { jobs } from './jobs.ts'
import { manifests } from './manifests.ts'
import { repositories } from './repositories.ts'
import { robots } from './robots.ts'
import { server } from './server.ts'
import { session } from './session.ts'
import { signingKeys } from './signing-keys.ts'
import { storage } from './storage.ts'
import { tags } from './tags.ts'
import { tokens } from './tokens.ts'
import { uploads } from './uploads.ts'
import { users } from './users.ts'

/** The admin API: one instance a noun, under /api/v1. */
export function adminApi(context: AdminContext) {
  return new Elysia({ name: 'admin', prefix: '/api/v1' })
    .use(session(context))
    .use(access(context))
    .use(users(context))
    .use(robots(context))
    .use(tokens(context))
    .use(groups(context))
    .use(grants(context))
    .use(signingKeys(context))
    .use(audit(context))
    .use(repositories(context))
    .use(tags(context))
    .use(manifests(context))
    .use(events(context))
    .use(blobs(context))
    .use(uploads(context))
    .use(storage(context))
    .use(collector(context))
    .use(jobs(context))
    .use(server(context))
}
