// What the page uses of three.js; everything else is left out when three.js is bundled (see THREE_BUILD).
export {
  BufferAttribute, BufferGeometry, ColorManagement, DataTexture, FloatType, GLSL3, LinearSRGBColorSpace, Mesh, NearestFilter,
  NoBlending, OrthographicCamera, RawShaderMaterial, RGBAFormat, Scene, UnsignedByteType, WebGLRenderer,
  WebGLRenderTarget, DoubleSide,
} from "three";
