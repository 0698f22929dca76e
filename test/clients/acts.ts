import type { ToolName } from '../../scripts/toolchain/toolchain.ts'

/**
 * What every client can do, as lines of Bash. The content is the image whose layout is the folder `$IMAGE` and whose
 * docker archive is `$IMAGE.tar`; `$ID` is the hash of its config. `$N` is the repository, with the registry `$R`.
 */
export interface Acts {
  tools: ToolName[]
  /** The flags for a registry without TLS, by the variable that the lines below use. */
  plain: Record<string, string>
  /** Signs in as `$U`, with the password on standard input. */
  login: string
  /** The login only stores the password, without connecting. */
  loginAsksNobody?: true
  /** Pushes the image under the tag `$TAG`. */
  push: string
  /** Pulls `$REF`, compares every byte, and leaves nothing. */
  pull: string
  /** The tag to push; by default `1`. */
  tag?: string
  /** The client keeps an image as it was pushed, so the digest does not change on the way. */
  keepsDigest?: true
}

const compareLayouts = 'diff -r $IMAGE/blobs pulled/blobs; rm -r pulled'
const compareArchives = 'is "$(layers pulled.tar)" "$(layers $IMAGE.tar)"; rm pulled.tar'

const helm = {
  plain: { P: '--plain-http' },
  login: 'helm registry login $P --username $U --password-stdin $R',
  push: `mkdir -p chart
    printf 'apiVersion: v2\\nname: %s\\nversion: %s\\n' $(basename $N) $TAG >chart/Chart.yaml
    helm package chart
    helm push $P $(basename $N)-$TAG.tgz oci://$(dirname $N)`,
  pull: `mkdir pulled
    helm pull $P oci://$REF --destination pulled
    cmp $(basename $N)-$TAG.tgz pulled/*.tgz
    rm -r pulled`,
  tag: '1.0.0',
}

export const acts = {
  docker: {
    tools: ['docker', 'dockerd'],
    plain: {},
    login: 'docker login --username $U --password-stdin $R',
    push: `docker load --input $IMAGE.tar
      docker tag cay/image:1 $N:$TAG
      docker push $N:$TAG
      docker rmi cay/image:1 $N:$TAG`,
    pull: `docker pull $A $REF
      is "$(docker image inspect --format {{.Id}} $REF)" sha256:$ID
      docker save --output pulled.tar $REF
      docker rmi $REF; ${compareArchives}`,
  },
  podman: {
    tools: ['podman'],
    plain: { P: '--tls-verify=false' },
    login: 'podman login $P --username $U --password-stdin $R',
    push: `podman load --input $IMAGE.tar
      podman push $P $ID $N:$TAG
      podman rmi --all --force`,
    pull: `is "$(podman pull --quiet $P $A $REF)" $ID
      podman save --format docker-archive --output pulled.tar $ID
      podman rmi --all --force; ${compareArchives}`,
  },
  buildah: {
    tools: ['buildah'],
    plain: { P: '--tls-verify=false' },
    login: 'buildah login $P --username $U --password-stdin $R',
    push: `ln -s $IMAGE pushed; buildah pull --quiet oci:pushed:1
      buildah push $P $ID docker://$N:$TAG
      buildah rmi --all --force`,
    pull: `is "$(buildah pull --quiet $P $A $REF)" $ID
      buildah push $ID docker-archive:pulled.tar
      buildah rmi --all --force; ${compareArchives}`,
  },
  skopeo: {
    tools: ['skopeo'],
    plain: { P: '--tls-verify=false', TO: '--dest-tls-verify=false', FROM: '--src-tls-verify=false' },
    login: 'skopeo login $P --username $U --password-stdin $R',
    push: 'skopeo copy $TO oci:$IMAGE:1 docker://$N:$TAG',
    pull: `skopeo copy $FROM docker://$REF oci:pulled:1; ${compareLayouts}`,
    keepsDigest: true,
  },
  containerd: {
    tools: ['containerd'],
    plain: { P: '--plain-http' },
    login: '',
    push: `tar -cf layout.tar -C $IMAGE .
      ctr images import --all-platforms --no-unpack --base-name $N layout.tar
      ctr images push $P $N:$TAG
      ctr images rm --sync $(ctr images list --quiet)`,
    pull: `ctr images pull $P --all-platforms --snapshotter native $REF
      ctr images export --all-platforms pulled.tar $REF
      ctr images rm --sync $REF
      mkdir pulled; tar -xf pulled.tar -C pulled
      for blob in $(ls $IMAGE/blobs/sha256); do cmp $IMAGE/blobs/sha256/$blob pulled/blobs/sha256/$blob; done
      rm -r pulled`,
    keepsDigest: true,
  },
  crane: {
    tools: ['crane'],
    plain: { P: '--insecure' },
    login: 'crane auth login $R --username $U --password-stdin',
    loginAsksNobody: true,
    push: 'crane push $P $IMAGE $N:$TAG',
    pull: `crane pull $P --format oci $REF pulled; ${compareLayouts}`,
    keepsDigest: true,
  },
  oras: {
    tools: ['oras'],
    plain: { P: '--plain-http', TO: '--to-plain-http', FROM: '--from-plain-http' },
    login: 'oras login $P --username $U --password-stdin $R',
    push: 'oras copy $TO --from-oci-layout $IMAGE:1 $N:$TAG',
    pull: `oras copy $FROM --to-oci-layout $REF pulled:1; ${compareLayouts}`,
    keepsDigest: true,
  },
  regctl: {
    tools: ['regctl'],
    plain: { P: '--host reg=$R,tls=disabled' },
    login: 'regctl registry login $P --user $U --pass-stdin $R',
    push: 'regctl image copy $P ocidir://$IMAGE:1 $N:$TAG',
    pull: `regctl image copy $P $REF ocidir://pulled:1; ${compareLayouts}`,
    keepsDigest: true,
  },
  helm3: { ...helm, tools: ['helm3', 'gpg'] },
  helm4: { ...helm, tools: ['helm4', 'gpg'] },
} satisfies Record<string, Acts>
