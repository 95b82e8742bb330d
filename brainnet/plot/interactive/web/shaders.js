// How a brain is drawn. Every corner of a triangle knows the numbers of all three vertices, so that a pixel can mix
// their values by barycentric weights, take the nearest vertex (categories, picking) or find the border of a region.

const FETCH = `
precision highp float;
precision highp int;
precision highp sampler2D;
ivec2 place(int vertex) { return ivec2(vertex & 255, vertex >> 8); }
`;

const VERTEX = `${FETCH}
in vec3 position; // the three vertices of this corner's triangle
uniform sampler2D uPoints[3];
uniform sampler2D uNormals[2];
uniform mat4 viewMatrix, projectionMatrix;
uniform float uUnfold; // 0 pial, 1 inflated, 2 flat
uniform int uFlatCorners, uLeft, uSide;
flat out ivec3 vVertices;
flat out float vIsCut;
out vec3 vWeights;
out vec3 vNormal;
void main() {
  int corner = gl_VertexID % 3;
  vVertices = ivec3(position);
  vWeights = vec3(corner == 0, corner == 1, corner == 2);
  int vertex = vVertices[corner];
  ivec2 at = place(vertex);
  float inflate = clamp(uUnfold, 0.0, 1.0), flatten = smoothstep(0.0, 1.0, clamp(uUnfold - 1.0, 0.0, 1.0));
  vec3 folded = mix(texelFetch(uPoints[0], at, 0).xyz, texelFetch(uPoints[1], at, 0).xyz, inflate);
  vec3 point = mix(folded, texelFetch(uPoints[2], at, 0).xyz, flatten);
  vec3 normal = mix(texelFetch(uNormals[0], at, 0).xyz, texelFetch(uNormals[1], at, 0).xyz, inflate);
  vNormal = mat3(viewMatrix) * mix(normal, vec3(0.0, 0.0, 1.0), flatten);
  vIsCut = float(gl_VertexID >= uFlatCorners);
  gl_Position = projectionMatrix * viewMatrix * vec4(point, 1.0);
  bool isLeft = vVertices.x < uLeft;
  if ((uSide == 1 && !isLeft) || (uSide == 2 && isLeft)) gl_Position = vec4(2.0, 2.0, 2.0, 1.0);
}`;

const FRAGMENT_HEAD = `${FETCH}
flat in ivec3 vVertices;
flat in float vIsCut;
in vec3 vWeights;
in vec3 vNormal;
uniform float uUnfold;
int nearest(vec3 w) { return w.x >= w.y ? (w.x >= w.z ? 0 : 2) : (w.y >= w.z ? 1 : 2); }
void dropCuts() { // triangles that the flat map lacks dissolve while the surface is laid flat
  if (vIsCut == 0.0 || uUnfold <= 1.0) return;
  float grain = fract(sin(dot(gl_FragCoord.xy, vec2(12.9898, 78.233))) * 43758.5453);
  if (grain < smoothstep(1.0, 1.25, uUnfold)) discard;
}
`;

const FRAGMENT = `${FRAGMENT_HEAD}
uniform sampler2D uData;   // value (or NaN as below 0), opacity (below 0: no data), region, sulcus
uniform sampler2D uColors; // colors of categories, positions and RGBA maps
uniform sampler2D uLut;
uniform int uKind;         // 0 scalar, 1 categorical, 2 colors
uniform float uLight, uLine, uPixel;
uniform vec3 uGyrus, uSulcus, uInk, uHalo, uAccent;
out vec4 color;

float borderDistance(ivec3 region, vec3 w, vec3 gx, vec3 gy) { // in pixels
  vec3 k;
  float f;
  if (region.x == region.y && region.y == region.z) return 1e6;
  if (region.x == region.y) { k = vec3(0.0, 0.0, 1.0); f = w.z - 0.5; }
  else if (region.x == region.z) { k = vec3(0.0, 1.0, 0.0); f = w.y - 0.5; }
  else if (region.y == region.z) { k = vec3(1.0, 0.0, 0.0); f = w.x - 0.5; }
  else {
    float low = min(w.x, min(w.y, w.z)), high = max(w.x, max(w.y, w.z));
    k = vec3(w.x == high, w.y == high, w.z == high) - vec3(w.x != high && w.x != low, w.y != high && w.y != low, w.z != high && w.z != low);
    f = dot(k, w);
  }
  return abs(f) / max(length(vec2(dot(k, gx), dot(k, gy))), 1e-6);
}

void main() {
  vec3 w = vWeights, gx = dFdx(vWeights), gy = dFdy(vWeights);
  dropCuts();
  vec4 a = texelFetch(uData, place(vVertices.x), 0), b = texelFetch(uData, place(vVertices.y), 0),
       c = texelFetch(uData, place(vVertices.z), 0);
  vec4 shade = vec4(a.w, b.w, c.w, 0.0);
  float flatten = clamp(uUnfold - 1.0, 0.0, 1.0);
  float facing = abs(normalize(vNormal).z);
  float light = mix(1.0, 0.72 + 0.28 * smoothstep(0.0, 0.9, facing), uLight * (1.0 - flatten));
  vec3 cortex = mix(uGyrus, uSulcus, dot(w, shade.xyz)) * mix(1.0, 0.58 + 0.42 * smoothstep(0.0, 1.0, facing), 1.0 - flatten);

  vec3 known = w * step(0.0, vec3(a.y, b.y, c.y));
  float total = known.x + known.y + known.z;
  vec3 data = vec3(0.0);
  float opacity = 0.0;
  if (total >= 0.5) {
    known /= total;
    opacity = dot(known, vec3(a.y, b.y, c.y));
    if (uKind == 0) {
      float value = dot(known, vec3(a.x, b.x, c.x));
      data = texelFetch(uLut, ivec2(clamp(int(value * 256.0), 0, 255), 0), 0).rgb;
    } else if (uKind == 2) {
      data = known.x * texelFetch(uColors, place(vVertices.x), 0).rgb + known.y * texelFetch(uColors, place(vVertices.y), 0).rgb
           + known.z * texelFetch(uColors, place(vVertices.z), 0).rgb;
    }
  }
  if (uKind == 1) { // the nearest vertex speaks, never a mixture
    int one = nearest(w);
    float its = one == 0 ? a.y : one == 1 ? b.y : c.y;
    opacity = its < 0.0 ? 0.0 : max(opacity, its * step(opacity, 0.0));
    data = texelFetch(uColors, place(vVertices[one]), 0).rgb;
  }
  vec3 mixed = mix(cortex, data * light, opacity);

  ivec3 region = ivec3(a.z, b.z, c.z);
  if (region.x == region.y && region.y == region.z) {
    color = vec4(mixed, 1.0);
    return;
  }
  float border = borderDistance(region / 2, w, gx, gy), chosen = borderDistance(region % 2, w, gx, gy);
  float half_ = 0.5 * uLine * uPixel;
  mixed = mix(mixed, uHalo, uLine > 0.0 ? 0.55 * (1.0 - smoothstep(half_ + 0.3, half_ + 1.3 * uPixel, border)) : 0.0);
  mixed = mix(mixed, uInk, uLine > 0.0 ? 1.0 - smoothstep(half_ - 0.5, half_ + 0.5, border) : 0.0);
  mixed = mix(mixed, uHalo, 0.8 * (1.0 - smoothstep(2.2 * uPixel, 3.0 * uPixel, chosen)));
  mixed = mix(mixed, uAccent, 1.0 - smoothstep(1.2 * uPixel, 1.7 * uPixel, chosen));
  color = vec4(mixed, 1.0);
}`;

// The vertex with the largest barycentric weight, as a color.
const FRAGMENT_PICK = `${FRAGMENT_HEAD}
out vec4 color;
void main() {
  if (vIsCut == 1.0 && uUnfold > 1.1) discard;
  int vertex = vVertices[nearest(vWeights)] + 1;
  color = vec4(vertex & 255, (vertex >> 8) & 255, (vertex >> 16) & 255, 255) / 255.0;
}`;
