import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;

/** Makes Java's file of authorities of a PEM bundle: {@code java Authorities.java BUNDLE OUT}. */
class Authorities {
    public static void main(String[] arguments) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        try (FileInputStream bundle = new FileInputStream(arguments[0])) {
            int number = 0;
            for (Certificate certificate : CertificateFactory.getInstance("X.509").generateCertificates(bundle)) {
                store.setCertificateEntry("authority-" + number++, certificate);
            }
        }
        try (FileOutputStream out = new FileOutputStream(arguments[1])) {
            store.store(out, "changeit".toCharArray());
        }
    }
}
