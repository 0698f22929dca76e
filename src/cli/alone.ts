import { openAuth } from '../auth/auth.ts'
import { FIRST_ADMIN } from '../auth/first-admin.ts'
import type { Config } from '../config-schema.ts'
import { openDataFolder } from '../data-folder.ts'
import { ownerApi } from '../http/socket.ts'
import { openLog } from '../log.ts'
import { PasswordFile } from '../password-file.ts'
import type { Transport } from './admin-client.ts'

/** Takes a data folder that no server has, for as long as the command lasts, and asks the admin API of this process. */
export async function openAlone(config: Config): Promise<Transport> {
  const folder = await openDataFolder(config, () => {})
  const auth = await openAuth(folder.metadata, config.access, Date.now)
  const file = new PasswordFile(config.data)
  const api = ownerApi({
    auth,
    metadata: folder.metadata,
    now: Date.now,
    log: openLog({ level: 'error', format: 'pretty' }),
    onPasswordChanged: (account) => account === FIRST_ADMIN && file.remove(),
  })
  return {
    fetch: (path, init) => api.handle(new Request(`http://localhost${path}`, init)),
    close: () => folder.close(),
  }
}
