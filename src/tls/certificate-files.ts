import { type FSWatcher, watch } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { ConfigError } from '../config/config-error.ts'
import type { CertificateFiles } from '../config/tls-choice.ts'
import type { Credentials } from '../domain/server-certificate.ts'
import { checkCredentials, whyNotValid } from './key-pair.ts'
import type { Tls, TlsOptions } from './served-certificate.ts'

/**
 * Tools replace a certificate and its key in several steps. The files are read once nothing has changed for this long.
 */
const SETTLE_MILLISECONDS = 500

/**
 * Opens TLS with a certificate from files. They are read again when their folders change, because certbot and
 * Kubernetes replace symbolic links there. A certificate that cannot be used is logged, and the current one stays in
 * use.
 *
 * @throws Error naming the setting and the bad file
 */
export async function openCertificateFiles(options: TlsOptions & { files: CertificateFiles }): Promise<Tls> {
  const { files, log, now, onChange } = options
  let credentials = await read()
  const invalid = whyNotValid(checkCredentials(credentials, named(files)), files.certificate, now())
  if (invalid !== undefined)
    log.error(`tls: clients will refuse this server, unless this host's clock is wrong: ${invalid}`)
  let refused = ''
  let timer: Timer | undefined
  const soon = () => {
    clearTimeout(timer)
    timer = setTimeout(check, SETTLE_MILLISECONDS)
  }
  const watchers = [...new Set([files.certificate, files.key].map((path) => dirname(path)))].flatMap(start)
  return {
    credentials: () => credentials,
    authority: undefined,
    check,
    close() {
      clearTimeout(timer)
      for (const watcher of watchers) watcher.close()
    },
  }

  async function check(): Promise<void> {
    try {
      const found = await read()
      if (found.certificate === credentials.certificate && found.key === credentials.key) return
      const invalid = whyNotValid(checkCredentials(found, named(files)), files.certificate, now())
      if (invalid !== undefined) throw new Error(invalid)
      credentials = found
      refused = ''
      log.info({ path: files.certificate }, 'reloaded the certificate')
      onChange(found)
    } catch (error) {
      const { message } = error as Error
      if (message !== refused)
        log.error({ error: message }, 'cannot use the new certificate: keeping the previous one')
      refused = message
    }
  }

  async function read(): Promise<Credentials> {
    const [certificate, key] = await Promise.all([readNamed(files.certificate), readNamed(files.key)])
    return { certificate, key }
  }

  /** Watches the folders. One that cannot be watched is only examined by `check`. */
  function start(folder: string): FSWatcher[] {
    try {
      const watcher = watch(folder, { persistent: false }, soon)
      watcher.on('error', (cause) => log.warn({ folder, cause }, 'cannot watch the folder'))
      return [watcher]
    } catch (cause) {
      log.warn({ folder, cause }, 'cannot watch the folder')
      return []
    }
  }
}

function named({ certificate, key }: CertificateFiles): CertificateFiles {
  return { certificate: `tls: ${certificate}`, key: `tls: ${key}` }
}

async function readNamed(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new ConfigError(`tls: cannot read ${path}: ${(error as Error).message}`)
  }
}
