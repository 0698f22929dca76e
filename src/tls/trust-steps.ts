import { X509Certificate } from 'node:crypto'

/** Something on a host that can be made to trust an authority. */
export interface TrustStep {
  /** For people: `Debian`, `Docker`. */
  name: string
  /** What is there when it applies, below the root folder; without it, it always does. */
  sign?: string
  files: TrustFile[]
  /** What makes it take the files, where that is needed, and what makes it forget them. */
  commands: { install?: string[]; uninstall: string[] } | undefined
}

export interface TrustFile {
  /** Absolute. */
  path: string
  text: string
}

export interface TrustSubject {
  /** The file with the authority's certificate, and its PEM text. */
  path: string
  certificate: string
  /** The registry's names as clients write them, `host:port`. */
  registries: string[]
}

/** The first line of files whose name is not ours alone, by which they are known again. */
export const TRUST_MARK = '# Made by cay trust\n'

/** Every place where the programs of a platform look for authorities, as `process.platform` names it. */
export function trustSteps(platform: string, subject: TrustSubject): TrustStep[] {
  if (platform === 'darwin') return [keychain(subject)]
  if (platform === 'win32') return [windowsStore(subject)]
  return [
    systemStore('Debian, Ubuntu, Alpine', subject, {
      sign: '/etc/ca-certificates.conf',
      folder: '/usr/local/share/ca-certificates',
      install: ['update-ca-certificates'],
      uninstall: ['update-ca-certificates', '--fresh'],
    }),
    javaStore(subject),
    systemStore('Red Hat, Fedora', subject, {
      sign: '/etc/pki/ca-trust/source/anchors',
      folder: '/etc/pki/ca-trust/source/anchors',
      install: ['update-ca-trust', 'extract'],
      uninstall: ['update-ca-trust', 'extract'],
    }),
    certsFolder('Docker', '/etc/docker', subject),
    certsFolder('podman, skopeo, buildah', '/etc/containers', subject),
    containerd(subject),
  ]
}

function systemStore(
  name: string,
  { certificate }: TrustSubject,
  store: { sign: string; folder: string; install: string[]; uninstall: string[] },
): TrustStep {
  const { sign, folder, install, uninstall } = store
  const path = `${folder}/${nameOf(certificate)}.crt`
  return { name, sign, files: [{ path, text: certificate }], commands: { install, uninstall } }
}

/** Debian's store of Java hears what update-ca-certificates adds, but not what is no longer there: it has to be told. */
function javaStore({ certificate }: TrustSubject): TrustStep {
  const sign = '/etc/ca-certificates/update.d/jks-keystore'
  const tell = `echo -/etc/ssl/certs/${nameOf(certificate)}.pem | ${sign}`
  return { name: 'Java', sign, files: [], commands: { uninstall: ['sh', '-c', tell] } }
}

/** What a certificate's files are called, without an ending. */
function nameOf(certificate: string): string {
  const fingerprint = new X509Certificate(certificate).fingerprint256.replaceAll(':', '').toLowerCase()
  return `cay-${fingerprint.slice(0, 12)}`
}

function certsFolder(name: string, sign: string, { certificate, registries }: TrustSubject): TrustStep {
  const files = registries.map((registry) => ({
    path: `${sign}/certs.d/${registry}/ca.crt`,
    text: TRUST_MARK + certificate,
  }))
  return { name, sign, files, commands: undefined }
}

function containerd(subject: TrustSubject): TrustStep {
  const step = certsFolder('containerd', '/etc/containerd', subject)
  const hosts = subject.registries.map((registry) => {
    const folder = `/etc/containerd/certs.d/${registry}`
    const url = `https://${registry}`
    const text = `${TRUST_MARK}server = "${url}"\n\n[host."${url}"]\n  ca = "${folder}/ca.crt"\n`
    return { path: `${folder}/hosts.toml`, text }
  })
  return { ...step, files: [...step.files, ...hosts] }
}

function keychain({ path }: TrustSubject): TrustStep {
  const add = ['security', 'add-trusted-cert', '-d', '-r', 'trustRoot', '-k']
  return {
    name: 'macOS',
    files: [],
    commands: {
      install: [...add, '/Library/Keychains/System.keychain', path],
      uninstall: ['security', 'remove-trusted-cert', '-d', path],
    },
  }
}

function windowsStore({ path, certificate }: TrustSubject): TrustStep {
  const sha1 = new X509Certificate(certificate).fingerprint.replaceAll(':', '')
  return {
    name: 'Windows',
    files: [],
    commands: {
      install: ['certutil', '-addstore', '-f', 'Root', path],
      uninstall: ['certutil', '-delstore', 'Root', sha1],
    },
  }
}
