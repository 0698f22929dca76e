/** Returns the commands that pull an artifact of a kind, by the name of the client. */
export function pullCommands(
  kind: string,
  host: string,
  repository: string,
  reference: string,
): [client: string, command: string][] {
  const isDigest = reference.includes(':')
  const name = `${host}/${repository}${isDigest ? '@' : ':'}${reference}`
  if (/helm chart/i.test(kind)) {
    const version = isDigest ? '' : ` --version ${reference.replaceAll('_', '+')}`
    return [
      ['helm', `helm pull oci://${host}/${repository}${isDigest ? `@${reference}` : version}`],
      [
        'helm install',
        `helm install my-release oci://${host}/${repository}${isDigest ? `@${reference}` : version}`,
      ],
    ]
  }
  if (/^container image|image index|^image|schema 1/i.test(kind)) {
    return [
      ['docker', `docker pull ${name}`],
      ['podman', `podman pull ${name}`],
      ['containerd', `nerdctl pull ${name}`],
      ['crane', `crane pull ${name} image.tar`],
      ['skopeo', `skopeo copy docker://${name} oci:image`],
    ]
  }
  if (/flux/i.test(kind))
    return [
      ['flux', `flux pull artifact oci://${name} --output .`],
      ['oras', `oras pull ${name}`],
    ]
  if (/singularity/i.test(kind))
    return [
      ['singularity', `singularity pull oras://${name}`],
      ['oras', `oras pull ${name}`],
    ]
  if (/kitops|modelkit/i.test(kind))
    return [
      ['kit', `kit pull ${name}`],
      ['oras', `oras pull ${name}`],
    ]
  return [
    ['oras', `oras pull ${name}`],
    ['crane', `crane manifest ${name}`],
  ]
}
