import { X509Certificate } from 'node:crypto'

/** Something on a host that can be made to trust an authority. */
export interface TrustStep {
  /** The name shown to people, such as `Debian` or `Docker`. */
  name: string
  /** A path below the root folder that exists if the step applies. Without one, it always applies. */
  sign?: string
  files: TrustFile[]
  /** The commands that make the program read the files, or forget them, if it needs any. */
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
  /** The registry's names as clients write them, as `host:port`. */
  registries: string[]
}

/** The first line of files with a common name, which identifies those that cay wrote. */
export const TRUST_MARK = '# Made by cay trust\n'

/** Returns every place where programs of a platform, named as in `process.platform`, look for authorities. */
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

/** update-ca-certificates adds to Debian's Java store but does not remove from it, so this step does. */
function javaStore({ certificate }: TrustSubject): TrustStep {
  const sign = '/etc/ca-certificates/update.d/jks-keystore'
  const recordEvent = `echo -/etc/ssl/certs/${nameOf(certificate)}.pem | ${sign}`
  return { name: 'Java', sign, files: [], commands: { uninstall: ['sh', '-c', recordEvent] } }
}

/** Returns the name of a certificate's files, without an extension. */
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
